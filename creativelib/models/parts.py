"""What the parts of models are on disk: their files, and the classes that may read them."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Part:
    """The files of one part of a model."""

    # Files that describe the part; the first that is there counts.
    configs: tuple[str, ...]
    # Key of the configuration that says what the part is, and the values that are known. Without a
    # key, the configuration says nothing that would be looked up.
    key: str = ""
    known: tuple[str, ...] = ()
    # Names that a pipeline's model_index.json may give to the part's class.
    classes: tuple[str, ...] = ()
    # Names of the files of weights, without their ends: one of them is there. Without any, the part
    # has no weights.
    weights: tuple[str, ...] = ()
    # Keys of the configuration that hold whole numbers from 1 on.
    sizes: tuple[str, ...] = ()
    # Sets of files that hold a vocabulary: one of them is there.
    vocabularies: tuple[tuple[str, ...], ...] = ()


def _network(*types: str, classes: tuple[str, ...] = ()) -> Part:
    """Describe a network of transformers by its types in config.json."""
    return Part(
        configs=("config.json",),
        key="model_type",
        known=types,
        classes=classes,
        weights=("model",),
    )


def _diffuser(name: str, *sizes: str) -> Part:
    """Describe a network of diffusers by its class and its sizes that are read."""
    return Part(
        configs=("config.json",),
        key="_class_name",
        known=(name,),
        classes=(name,),
        weights=("diffusion_pytorch_model",),
        sizes=sizes,
    )


def _words(*names: str, vocabularies: tuple[tuple[str, ...], ...]) -> Part:
    """Describe a tokenizer by its classes, whose names may end in "Fast"."""
    classes = (*names, *(f"{name}Fast" for name in names))
    return Part(
        configs=("tokenizer_config.json",),
        key="tokenizer_class",
        known=classes,
        classes=classes,
        vocabularies=(("tokenizer.json",), *vocabularies),
    )


# Schedulers of diffusers that know nothing but numbers.
SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UnCLIPScheduler",
    "UniPCMultistepScheduler",
)
SCHEDULER = Part(
    configs=("scheduler_config.json",),
    key="_class_name",
    known=SCHEDULERS,
    classes=SCHEDULERS,
)
CLIP_WORDS = _words("CLIPTokenizer", vocabularies=(("vocab.json", "merges.txt"),))
XLM_WORDS = _words("XLMRobertaTokenizer", vocabularies=(("sentencepiece.bpe.model",),))
CLIP_TEXT = _network("clip_text_model", "clip", classes=("CLIPTextModelWithProjection",))
CLIP_VISION = _network("clip_vision_model", "clip", classes=("CLIPVisionModelWithProjection",))
XLM_TEXT = _network("M-CLIP", classes=("MultilingualCLIP",))
CLIP_PICTURES = Part(
    configs=("preprocessor_config.json",),
    classes=(
        "CLIPImageProcessor",
        "CLIPImageProcessorFast",
        "CLIPImageProcessorPil",
        "CLIPFeatureExtractor",
    ),
)
PRIOR = _diffuser("PriorTransformer", "num_embeddings", "additional_embeddings", "embedding_dim")
UNET = _diffuser("UNet2DConditionModel", "in_channels", "out_channels", "sample_size")
PLAIN_UNET = _diffuser("UNet2DModel", "sample_size")
VQ = _diffuser("VQModel", "latent_channels")
# A denoiser of Semantica's counts the pictures that it is shown.
COUNTING_UNET = replace(UNET, sizes=(*UNET.sizes, "num_class_embeds"))

_KANDINSKY_PRIOR = {
    "tokenizer": CLIP_WORDS,
    "text_encoder": CLIP_TEXT,
    "image_encoder": CLIP_VISION,
    "image_processor": CLIP_PICTURES,
    "prior": PRIOR,
    "scheduler": SCHEDULER,
}
# The parts that each pipeline class of diffusers saves, of the prior and of the decoder, by the
# names of their folders.
PRIORS = {
    "KandinskyV22PriorPipeline": _KANDINSKY_PRIOR,
    "KandinskyPriorPipeline": _KANDINSKY_PRIOR,
    "UnCLIPPipeline": {
        "tokenizer": CLIP_WORDS,
        "text_encoder": CLIP_TEXT,
        "prior": PRIOR,
        "prior_scheduler": SCHEDULER,
    },
}
DECODERS = {
    "KandinskyV22Pipeline": {"unet": UNET, "movq": VQ, "scheduler": SCHEDULER},
    "KandinskyPipeline": {
        "tokenizer": XLM_WORDS,
        "text_encoder": XLM_TEXT,
        "unet": UNET,
        "movq": VQ,
        "scheduler": SCHEDULER,
    },
    "UnCLIPPipeline": {
        "decoder": UNET,
        "text_proj": _diffuser("UnCLIPTextProjModel"),
        "super_res_first": PLAIN_UNET,
        "super_res_last": PLAIN_UNET,
        "decoder_scheduler": SCHEDULER,
        "super_res_scheduler": SCHEDULER,
    },
}

# An encoder of pictures, with its preprocessing beside it.
ENCODER = (_network("clip_vision_model", "clip", "dinov2"), CLIP_PICTURES)
# Tokenizers of models that come in one folder. All are data: a vocabulary and rules.
_TOKENIZERS = _words(
    "BertTokenizer",
    "CLIPTokenizer",
    "GPT2Tokenizer",
    "GemmaTokenizer",
    "PreTrainedTokenizer",
    "RobertaTokenizer",
    "T5Tokenizer",
    "XLMRobertaTokenizer",
    vocabularies=(
        ("vocab.txt",),
        ("vocab.json", "merges.txt"),
        ("spiece.model",),
        ("sentencepiece.bpe.model",),
    ),
)
# A model that answers questions, with its tokenizer and its preprocessing.
VQA = (
    Part(configs=("config.json",), weights=("model",)),
    _TOKENIZERS,
    Part(configs=("processor_config.json", "preprocessor_config.json")),
)
# A CLIP of open_clip's, and its tokenizer if it has one of its own.
JUDGE = Part(
    configs=("open_clip_config.json",),
    weights=("open_clip_model", "open_clip_pytorch_model", "model"),
)
JUDGE_WORDS = _TOKENIZERS
