"""Complete stacks of a few thousand random weights.

They have the real models' classes, and are saved in the same layout.
"""

from pathlib import Path
from typing import Any

import torch

DIM = 16
LENGTH = 16
WORDS = (
    "a",
    "photo",
    "of",
    "pet",
    "plant",
    "cat",
    "musical",
    "instrument",
    "red",
    "with",
    "long",
    "ears",
    "blueprint",
)
COMMIT = "0123456789abcdef0123456789abcdef01234567"

SMALL: dict[str, Any] = {
    "hidden_size": DIM,
    "projection_dim": DIM,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
UNET: dict[str, Any] = {
    "layers_per_block": 1,
    "block_out_channels": (8, 8),
    "norm_num_groups": 4,
    "attention_head_dim": 4,
    "resnet_time_scale_shift": "scale_shift",
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
}


def make_tokenizer(folder: Path) -> Any:
    """Save a CLIPTokenizer in which each of WORDS is one token; other text is cut into letters."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    vocab = [*letters, *(letter + "</w>" for letter in letters)]
    merges: list[Any] = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            # From the end of the word: "t</w>" cannot occur inside another word, so the merges of
            # one word do not disturb another's.
            pair = (pieces[-2], pieces[-1])
            pieces[-2:] = [pair[0] + pair[1]]
            if pair not in merges:
                merges.append(pair)
                vocab.append(pieces[-1])
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    ids = {token: index for index, token in enumerate(dict.fromkeys(vocab))}
    CLIPTokenizer(vocab=ids, merges=merges, model_max_length=LENGTH).save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def make_text(tokenizer: Any, trap: bool) -> Any:
    """Make a random text encoder.

    With `trap` its end-of-text id is 2, as in OpenAI's files: transformers then pools at the
    largest id.
    """
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=LENGTH,
            bos_token_id=0 if trap else tokenizer.bos_token_id,
            eos_token_id=2 if trap else tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **SMALL,
        )
    )


def make_image_encoder() -> tuple[Any, Any]:
    """Make a random image encoder and its image processor."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    return (
        CLIPVisionModelWithProjection(CLIPVisionConfig(image_size=16, patch_size=8, **SMALL)),
        CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
    )


def make_prior() -> Any:
    """Make a random prior whose samples differ enough for a density to be fitted."""
    import diffusers

    prior = diffusers.PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        embedding_dim=DIM,
        num_embeddings=LENGTH,
    )
    torch.nn.init.normal_(prior.clip_mean)
    torch.nn.init.uniform_(prior.clip_std, 0.5, 1.0)
    # The output of a fresh network hardly depends on the noise, so these weights are larger.
    torch.nn.init.normal_(prior.proj_in.weight)
    torch.nn.init.normal_(prior.proj_to_clip_embeddings.weight, std=0.5)
    return prior


def make_movq() -> Any:
    """Make a random autoencoder of latents."""
    import diffusers

    return diffusers.VQModel(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        num_vq_embeddings=8,
        vq_embed_dim=4,
        norm_num_groups=4,
    )


def make_scheduler(limit: float) -> Any:
    """Make the prior's scheduler, which clips embeddings at +- limit."""
    import diffusers

    return diffusers.UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=limit
    )


def make_kandinsky_22(prior: Path, decoder: Path, scheduler: Any = None) -> None:
    """Save a stack of Kandinsky 2.2's classes.

    Its text encoder pools at its own end-of-text token, as the bundled model's does.
    """
    import diffusers

    torch.manual_seed(0)
    tokenizer = make_tokenizer(prior / "tokenizer")
    text = make_text(tokenizer, trap=False)
    image, processor = make_image_encoder()
    network = make_prior()
    unet = diffusers.UNet2DConditionModel(
        sample_size=4,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=8,
        encoder_hid_dim=DIM,
        encoder_hid_dim_type="image_proj",
        addition_embed_type="image",
        **UNET,
    )
    movq = make_movq()
    diffusers.KandinskyV22PriorPipeline(
        prior=network,
        text_encoder=text,
        image_encoder=image,
        tokenizer=tokenizer,
        image_processor=processor,
        scheduler=make_scheduler(5.0),
    ).save_pretrained(prior)
    diffusers.KandinskyV22Pipeline(
        unet=unet,
        movq=movq,
        scheduler=scheduler
        or diffusers.DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, variance_type="learned_range", clip_sample=True
        ),
    ).save_pretrained(decoder)


def make_kandinsky_21(prior: Path, decoder: Path) -> None:
    """Save a stack of Kandinsky 2.1's classes.

    The prior's text encoder has the trap, and the decoder reads texts through a MultilingualCLIP.
    """
    import diffusers
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP
    from transformers import XLMRobertaTokenizer

    torch.manual_seed(0)
    tokenizer = make_tokenizer(prior / "tokenizer")
    image, processor = make_image_encoder()
    diffusers.KandinskyPriorPipeline(
        prior=make_prior(),
        text_encoder=make_text(tokenizer, trap=True),
        image_encoder=image,
        tokenizer=tokenizer,
        image_processor=processor,
        scheduler=make_scheduler(10.0),
    ).save_pretrained(prior)
    pieces = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "\u2581",
        *(f"\u2581{word}" for word in WORDS),
        *"abcdefghijklmnopqrstuvwxyz",
    ]
    XLMRobertaTokenizer(
        vocab=[(piece, -1.0 * i) for i, piece in enumerate(pieces)]
    ).save_pretrained(decoder / "tokenizer")
    words = XLMRobertaTokenizer.from_pretrained(decoder / "tokenizer")
    text = MultilingualCLIP(
        MCLIPConfig(
            transformerDimSize=8,
            imageDimSize=DIM,
            vocab_size=len(words),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=80,
            type_vocab_size=1,
            pad_token_id=1,
        )
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=4,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=DIM,
        encoder_hid_dim=8,
        encoder_hid_dim_type="text_image_proj",
        addition_embed_type="text_image",
        addition_embed_type_num_heads=2,
        **UNET,
    )
    diffusers.KandinskyPipeline(
        text_encoder=text,
        tokenizer=words,
        unet=unet,
        movq=make_movq(),
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type="epsilon",
            thresholding=False,
        ),
    ).save_pretrained(decoder)


def make_karlo(folder: Path, encoder: Path) -> None:
    """Save a stack of Karlo's classes: pictures of 8 pixels, enlarged to 16.

    It lies in one folder but for the image encoder, which lies in `encoder`.
    """
    import diffusers
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    torch.manual_seed(0)
    tokenizer = make_tokenizer(folder / "tokenizer")
    image, processor = make_image_encoder()
    decoder = diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=3,
        out_channels=6,
        cross_attention_dim=8,
        class_embed_type="identity",
        **UNET,
    )
    larger: dict[str, Any] = {
        "sample_size": 16,
        "in_channels": 6,
        "out_channels": 3,
        "layers_per_block": 1,
        "block_out_channels": (8, 8),
        "norm_num_groups": 4,
        "down_block_types": ("ResnetDownsampleBlock2D",) * 2,
        "up_block_types": ("ResnetUpsampleBlock2D",) * 2,
        "attention_head_dim": 4,
    }
    text_proj = UnCLIPTextProjModel(
        clip_extra_context_tokens=2,
        clip_embeddings_dim=DIM,
        time_embed_dim=32,
        cross_attention_dim=8,
    )
    torch.nn.init.normal_(text_proj.learned_classifier_free_guidance_embeddings)
    noise = diffusers.UnCLIPScheduler(
        variance_type="learned_range", prediction_type="epsilon", clip_sample_range=1.0
    )
    diffusers.UnCLIPPipeline(
        prior=make_prior(),
        decoder=decoder,
        text_encoder=make_text(tokenizer, trap=True),
        tokenizer=tokenizer,
        text_proj=text_proj,
        super_res_first=diffusers.UNet2DModel(**larger),
        super_res_last=diffusers.UNet2DModel(**larger),
        prior_scheduler=make_scheduler(5.0),
        decoder_scheduler=noise,
        super_res_scheduler=diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="epsilon", clip_sample_range=1.0
        ),
    ).save_pretrained(folder)
    image.save_pretrained(encoder)
    processor.save_pretrained(encoder)


def hub_folder(cache: Path, repo: str) -> Path:
    """Make the folder where a hub's cache keeps the files of a repository's one commit."""
    root = cache / f"models--{repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    folder = root / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    return folder


def fill_hub(cache: Path, name: str) -> None:
    """Put a tiny stack into a hub's cache, in place of one of the real models."""
    match name:
        case "kandinsky-2-2":
            make_kandinsky_22(
                hub_folder(cache, "kandinsky-community/kandinsky-2-2-prior"),
                hub_folder(cache, "kandinsky-community/kandinsky-2-2-decoder"),
            )
        case "kandinsky-2-1":
            make_kandinsky_21(
                hub_folder(cache, "kandinsky-community/kandinsky-2-1-prior"),
                hub_folder(cache, "kandinsky-community/kandinsky-2-1"),
            )
        case "karlo":
            make_karlo(
                hub_folder(cache, "kakaobrain/karlo-v1-alpha"),
                hub_folder(cache, "openai/clip-vit-large-patch14"),
            )
