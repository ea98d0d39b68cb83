"""Shape checks on every call of the package, and a complete Kandinsky 2.2 stack of a few thousand random weights."""

from pathlib import Path
from typing import Any

from jaxtyping import install_import_hook

install_import_hook("creativelib", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import pytest
import torch

from creativelib.pipeline import Pipeline, load

DIM = 16
LENGTH = 16
WORDS = ("a", "photo", "of", "pet", "plant", "cat", "musical", "instrument", "red", "with", "long", "ears", "blueprint")

torch.set_num_threads(1)


def make_tokenizer(folder: Path) -> None:
    """A CLIPTokenizer in which each of WORDS is one token and any other text is cut into letters."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    vocab = [*letters, *(letter + "</w>" for letter in letters)]
    merges: list[Any] = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            # From the end of the word: "t</w>" cannot occur inside another word, so no word's merges disturb another's.
            pair = (pieces[-2], pieces[-1])
            pieces[-2:] = [pair[0] + pair[1]]
            if pair not in merges:
                merges.append(pair)
                vocab.append(pieces[-1])
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    ids = {token: index for index, token in enumerate(dict.fromkeys(vocab))}
    CLIPTokenizer(vocab=ids, merges=merges, model_max_length=LENGTH).save_pretrained(folder)


def make_stack(folder: Path) -> None:
    """Save a random stack of the bundled models' classes: 16 x 16 pictures, 16 embedding dimensions."""
    import diffusers
    from transformers import (
        CLIPImageProcessor,
        CLIPTextConfig,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    torch.manual_seed(0)
    make_tokenizer(folder / "words")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "words")
    small: dict[str, Any] = {"hidden_size": DIM, "projection_dim": DIM, "intermediate_size": 32, "num_hidden_layers": 1,
                             "num_attention_heads": 2}
    text = CLIPTextModelWithProjection(CLIPTextConfig(
        vocab_size=len(tokenizer), max_position_embeddings=LENGTH, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **small))
    image = CLIPVisionModelWithProjection(CLIPVisionConfig(image_size=16, patch_size=8, **small))
    prior = diffusers.PriorTransformer(num_attention_heads=2, attention_head_dim=8, num_layers=1, embedding_dim=DIM, num_embeddings=LENGTH)
    torch.nn.init.normal_(prior.clip_mean)
    torch.nn.init.uniform_(prior.clip_std, 0.5, 1.0)
    # Louder than a fresh network, whose output hardly depends on the noise: samples have to differ for a density to be fitted.
    torch.nn.init.normal_(prior.proj_in.weight)
    torch.nn.init.normal_(prior.proj_to_clip_embeddings.weight, std=0.5)
    unet = diffusers.UNet2DConditionModel(
        sample_size=4, in_channels=4, out_channels=8, layers_per_block=1, block_out_channels=(8, 8), norm_num_groups=4,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"), mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), cross_attention_dim=8, attention_head_dim=4,
        encoder_hid_dim=DIM, encoder_hid_dim_type="image_proj", addition_embed_type="image", resnet_time_scale_shift="scale_shift")
    movq = diffusers.VQModel(
        block_out_channels=(8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4, num_vq_embeddings=8, vq_embed_dim=4, norm_num_groups=4)
    diffusers.KandinskyV22PriorPipeline(
        prior=prior, text_encoder=text, image_encoder=image, tokenizer=tokenizer,
        image_processor=CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
        scheduler=diffusers.UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0),
    ).save_pretrained(folder / "prior")
    # The pipeline's annotation asks for a DDPMScheduler, its docstring and its code take a DDIMScheduler too.
    scheduler: Any = diffusers.DDIMScheduler(prediction_type="v_prediction", clip_sample=False, timestep_spacing="trailing",
                                             rescale_betas_zero_snr=True)
    diffusers.KandinskyV22Pipeline(unet=unet, movq=movq, scheduler=scheduler).save_pretrained(folder / "decoder")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stack")
    make_stack(folder)
    return folder


@pytest.fixture(scope="session")
def pipe(stack: Path) -> Pipeline:
    return load(stack, device="cpu")


@pytest.fixture(scope="session")
def menagerie() -> Pipeline:
    """The bundled models, for what only trained ones show."""
    return load("menagerie", device="cpu")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def parts(tmp_path: Path) -> tuple[str, str]:
    """Folders with random weights of the classes that Semantica is built of: a DINOv2 and a VQModel, for 16 x 16 pictures."""
    import diffusers
    from transformers import CLIPImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    encoder, movq = tmp_path / "encoder", tmp_path / "movq"
    Dinov2Model(Dinov2Config(hidden_size=DIM, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, image_size=16,
                             patch_size=8)).save_pretrained(encoder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16).save_pretrained(encoder)
    diffusers.VQModel(block_out_channels=(8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3,
                      up_block_types=("UpDecoderBlock2D",) * 3, latent_channels=4, num_vq_embeddings=8, vq_embed_dim=4,
                      norm_num_groups=4).save_pretrained(movq)
    return str(encoder), str(movq)
