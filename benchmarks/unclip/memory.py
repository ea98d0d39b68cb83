"""The memory part of benchmarks.unclip.kandinsky: stacks of the real sizes with random weights.

`counts` counts the weights of each part; `peaks` measures what steps take of memory and time.
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from benchmarks.figures import Figure
from creativelib.concept import init
from creativelib.conceptlab.learning import iter_learn
from creativelib.conceptlab.settings import LearnConfig
from creativelib.density import GaussianDensity
from creativelib.models.names import MODELS
from creativelib.optimization.loop import optimize
from creativelib.optimization.objectives import Anchor, Rarity, Repulsion
from creativelib.pictures import Preprocess
from creativelib.seeds import seeded
from creativelib.steering.guidance import guide_decoder
from creativelib.steering.settings import SteerConfig
from creativelib.steering.target import fit_baseline
from creativelib.unclip.decoders import Kandinsky21, Kandinsky22
from creativelib.unclip.pipeline import Pipeline

# As in the models' published configurations, and in diffusers' scripts that converted them.
UNET: dict[str, Any] = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 8,
    "layers_per_block": 3,
    "block_out_channels": (384, 768, 1152, 1536),
    "cross_attention_dim": 768,
    "attention_head_dim": 64,
    "resnet_time_scale_shift": "scale_shift",
    "down_block_types": ("ResnetDownsampleBlock2D", *("SimpleCrossAttnDownBlock2D",) * 3),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": (*("SimpleCrossAttnUpBlock2D",) * 3, "ResnetUpsampleBlock2D"),
}
MOVQ: dict[str, Any] = {
    "down_block_types": (*("DownEncoderBlock2D",) * 3, "AttnDownEncoderBlock2D"),
    "norm_type": "spatial",
    "num_vq_embeddings": 16384,
    "up_block_types": ("AttnUpDecoderBlock2D", *("UpDecoderBlock2D",) * 3),
    "block_out_channels": (128, 256, 256, 512),
    "vq_embed_dim": 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
PREPROCESS = Preprocess(
    edge=224,
    crop=224,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
NAMES = {"kandinsky-2-1": "Kandinsky 2.1", "kandinsky-2-2": "Kandinsky 2.2"}


def clip(name: str, tokenizer: Any) -> tuple[Any, Any]:
    """Make a text and an image encoder: ViT-L/14 of OpenAI, or ViT-bigG/14 of LAION."""
    text: dict[str, Any]
    image: dict[str, Any]
    if name == "kandinsky-2-2":
        text = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 20}
        image = {
            "hidden_size": 1664,
            "num_hidden_layers": 48,
            "num_attention_heads": 16,
            "intermediate_size": 8192,
        }
    else:
        text = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
        image = {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
        }
    width = text["hidden_size"]
    text_config = CLIPTextConfig(
        vocab_size=49408,
        intermediate_size=4 * width,
        projection_dim=width,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **text,
    )
    image_config = CLIPVisionConfig(patch_size=14, image_size=224, projection_dim=width, **image)
    return CLIPTextModelWithProjection(text_config), CLIPVisionModelWithProjection(image_config)


def parts(name: str, tokenizer: Any) -> dict[str, Any]:
    """Make networks of a model's size, on the device and in the precision that are set."""
    from diffusers import PriorTransformer, UNet2DConditionModel, VQModel

    text, image = clip(name, tokenizer)
    width = text.config.hidden_size
    kind = "image" if width == 1280 else "text_image"
    conditioning: dict[str, Any] = {
        "addition_embed_type": kind,
        "encoder_hid_dim": 1280 if width == 1280 else 1024,
        "encoder_hid_dim_type": f"{kind}_proj",
    }
    return {
        "text encoder": text,
        "image encoder": image,
        "prior": PriorTransformer(embedding_dim=width),
        "UNet": UNet2DConditionModel(**UNET, **conditioning),
        "MoVQ": VQModel(**MOVQ),
    }


def load_tokenizer() -> Any:
    """Load the bundled model's tokenizer, with room for 77 tokens."""
    folder = MODELS["menagerie"].folder
    assert folder is not None
    return CLIPTokenizer.from_pretrained(folder / "prior" / "tokenizer", model_max_length=77)


def counts() -> list[Figure]:
    """Count weights by part, in millions, without memory for one of them."""
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2VisionConfig,
        BlipConfig,
        BlipForQuestionAnswering,
        T5Config,
    )

    second_config = MCLIPConfig(
        vocab_size=250_002,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=514,
        type_vocab_size=1,
    )
    blip_config = BlipConfig(
        text_config={
            "hidden_size": 768,
            "encoder_hidden_size": 768,
            "vocab_size": 30524,
        },
        vision_config={
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "image_size": 384,
            "patch_size": 16,
        },
    )
    flan_config = T5Config(
        vocab_size=32128,
        d_model=2048,
        d_kv=64,
        d_ff=5120,
        num_layers=24,
        num_heads=32,
        feed_forward_proj="gated-gelu",
    )
    blip2_config = Blip2Config(
        vision_config=Blip2VisionConfig().to_dict(),
        text_config=flan_config.to_dict() | {"tie_word_embeddings": False},
    )

    def millions(network: torch.nn.Module) -> float:
        return sum(p.numel() for p in network.parameters()) / 1e6

    networks: dict[str, torch.nn.Module] = {}
    with torch.device("meta"):
        for name, title in NAMES.items():
            for part, network in parts(name, load_tokenizer()).items():
                networks[f"{title}: {part}"] = network
        networks["Kandinsky 2.1: second text encoder, read once"] = MultilingualCLIP(second_config)
        networks["BLIP VQA, base"] = BlipForQuestionAnswering(blip_config)
        networks["BLIP-2 with Flan-T5-XL"] = Blip2ForConditionalGeneration(blip2_config)
    return [
        Figure(name, millions(network), "million weights") for name, network in networks.items()
    ]


def stack(name: str, device: torch.device, dtype: torch.dtype) -> Pipeline:
    """Make a model of the real size with random weights."""
    from diffusers import DDPMScheduler, UnCLIPScheduler

    tokenizer = load_tokenizer()
    default_dtype = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            networks = parts(name, tokenizer)
            width = networks["text encoder"].config.hidden_size
            prior = networks["prior"]
            torch.nn.init.ones_(prior.clip_std)
            # As large as a trained network's: a fresh one's output hardly depends on the noise.
            for layer in (prior.proj_in, prior.proj_to_clip_embeddings):
                torch.nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            # Of the empty text, which Kandinsky 2.1's decoder reads.
            empty = (torch.zeros(1, 768), torch.zeros(1, 77, 1024))
    finally:
        torch.set_default_dtype(default_dtype)
    for network in networks.values():
        network.to(dtype).eval().requires_grad_(False)
    decoder_scheduler = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, variance_type="learned_range", clip_sample=True
    )
    prior_scheduler = UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=10.0
    )
    shared = (networks["UNet"], decoder_scheduler, networks["MoVQ"])
    decoder = Kandinsky21(*shared, *empty) if width == 768 else Kandinsky22(*shared)
    return Pipeline(
        name=name,
        fingerprint=name,
        has_truth=False,
        revisions={},
        device=device,
        dtype=dtype,
        tokenizer=tokenizer,
        text_encoder=networks["text encoder"],
        image_encoder=networks["image encoder"],
        preprocess=PREPROCESS,
        prior=prior,
        prior_scheduler=prior_scheduler,
        decoder=decoder,
    )


def peaks(device: torch.device) -> list[Figure]:
    """Measure both models in half precision, with the recipes' default settings.

    Figures are memory in GB, of the weights and beside them, and seconds.
    """
    figures = []
    for name, title in NAMES.items():
        torch.cuda.empty_cache()
        figures += [
            Figure(f"{title}: {figure.name}", figure.value, figure.unit)
            for figure in peaks_of(name, device)
        ]
    return figures


def peaks_of(name: str, device: torch.device) -> list[Figure]:
    """Measure one model: its weights, and what each act takes."""
    before = torch.cuda.memory_allocated()
    pipe = stack(name, device, torch.bfloat16)
    weights = torch.cuda.memory_allocated()
    figures = [Figure("weights in half precision", (weights - before) / 1e9, "GB")]

    def measure(what: str, run: Callable[[], object], times: int = 1) -> None:
        run()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        extra = (torch.cuda.max_memory_allocated() - weights) / 1e9
        figures.append(Figure(f"{what}, memory beside the weights", extra, "GB"))
        figures.append(Figure(what, start.elapsed_time(end) / 1000 / times, "s"))

    config = SteerConfig()
    prompt = "a photo of a pet"
    with torch.no_grad():
        measure("2,000 embeddings and their density", lambda: fit_baseline(pipe, prompt, config))
        z = pipe.sample_prior(pipe.encode_text([prompt]), 2000, noise=seeded(0))
        # Spread out: random networks draw embeddings so alike that every move would be rare beyond
        # all measure.
        spread = z.cpu() + torch.randn(z.shape, generator=seeded(0))
        fitted = GaussianDensity.fit(spread, pca=config.pca)
        target = fitted.quantile(0.99)
        density = fitted.to(device)
        objective = (
            Rarity(density, target)
            + config.anchor * Anchor(pipe, prompt)
            + config.spread * Repulsion(density)
        )
        start = init(pipe, config.kind, "pet", k=config.concepts, generator=seeded(0))
        steered = optimize(
            pipe,
            start,
            objective,
            templates=["a photo of a {}"],
            steps=10**6,
            lr=1e-6,
            seed=0,
            n=config.samples,
        )
        measure(
            "10 steps of steering, 4 concepts x 6 samples, each step",
            lambda: [next(steered) for _ in range(10)],
            times=10,
        )
        learned = iter_learn(
            pipe,
            "pet",
            negatives=["cat", "dog", "rabbit"],
            config=LearnConfig(templates=("a photo of a {}",)),
            seed=0,
        )
        measure(
            "10 steps of ConceptLab, 4 concepts x 2 samples, each step",
            lambda: [next(learned) for _ in range(10)],
            times=10,
        )
        z = z[:, :4]
        measure(
            "4 pictures of 512 pixels in 25 steps",
            lambda: pipe.decode(z, generator=seeded(0), steps=25),
        )
        pictures = torch.rand(4, 3, 512, 512, device=device)
        measure("CLIP's embeddings of 4 pictures", lambda: pipe.encode_images(pictures))
        measure(
            "1 picture guided in the decoder, 10 steps",
            lambda: guide_decoder(
                pipe, z[:, :1], density=density, target=target, generator=seeded(0), steps=10
            ),
        )
    return figures
