"""The loading code of the real models, and every recipe on what it loads.

Tiny random stacks of the same classes lie where a hub's cache keeps the real ones.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import stacks
from creativelib.commands.creation import create
from creativelib.concept import KINDS, init
from creativelib.conceptlab.constraints import calibrate
from creativelib.conceptlab.evolution import (
    Family,
    Member,
    MixConfig,
    evolve,
    mix,
    picture_embeddings,
)
from creativelib.conceptlab.learning import learn_concept
from creativelib.conceptlab.settings import LearnConfig
from creativelib.conceptlab.settling import settle
from creativelib.conceptlab.spaces import SPACES, embed_in_space
from creativelib.density import GaussianDensity
from creativelib.errors import InputError
from creativelib.evaluation import baselines
from creativelib.models import networks
from creativelib.models.hub import snapshot
from creativelib.models.location import locate
from creativelib.models.names import MODELS
from creativelib.models.parts import DECODERS, PRIOR, PRIORS
from creativelib.models.weights import weight_files
from creativelib.notebook import session
from creativelib.optimization.objectives import Direction
from creativelib.steering import guidance
from creativelib.steering.inversion import textual_inversion
from creativelib.steering.pullback import draw_rare, valid_share
from creativelib.steering.recipe import steer
from creativelib.steering.settings import SteerConfig
from creativelib.steering.target import fit_baseline
from creativelib.unclip import latent, loading, pipeline
from creativelib.unclip.pipeline import Pipeline, load
from creativelib.unclip.prior import Noise, PriorSampling
from creativelib.vision.vqa import ZeroShotVqa
from stacks import (
    COMMIT,
    LENGTH,
    fill_hub,
    hub_folder,
    make_kandinsky_21,
    make_kandinsky_22,
    make_karlo,
)

NAMES = ("kandinsky-2-1", "kandinsky-2-2", "karlo")
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    ),
]
SHORT = SteerConfig(steps=4, concepts=2, samples=2, baseline_samples=64, candidates=2, pullback=0.3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Replace the hub's cache by one with tiny stacks in the real ones' places and no network."""
    from huggingface_hub import constants

    folder = tmp_path_factory.mktemp("hub")
    for name in NAMES:
        fill_hub(folder, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(folder))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        yield folder


@pytest.fixture(scope="module", params=DEVICES)
def device(request):
    return request.param


@pytest.fixture(scope="module", params=NAMES)
def real(request, cache, device) -> Pipeline:
    return load(request.param, device)


def test_name_revisions_and_defaults_are_recorded(real, other_decoding):
    assert real.name in NAMES and not real.has_truth
    assert set(real.revisions.values()) == {COMMIT}
    assert set(MODELS[real.name].hub) <= set(real.revisions)
    assert real.dtype == networks.default_dtype(real.device)
    assert other_decoding == (4.0, 25)
    assert real.decode_defaults == pipeline.OTHER_DECODING


def test_a_text_becomes_pictures(real):
    cond = real.encode_text(["a photo of a pet", "a red plant with long ears"])
    z = real.sample_prior(cond, 2, noise=seeded(), sampling=PriorSampling(guidance=2.0))
    pictures = real.decode(z, generator=seeded(), steps=3)
    assert z.shape == (2, 2, 16)
    assert z.dtype == torch.float32
    assert pictures.shape == (2, 2, 3, 16, 16)
    assert pictures.min() >= 0 and pictures.max() <= 1 and pictures.std() > 0.01
    assert real.encode_images(pictures).shape == z.shape


@pytest.mark.parametrize("kind", KINDS)
def test_steering(real, kind):
    config = replace(SHORT, kind=kind)
    density = fit_baseline(real, "a photo of a pet", config)
    result = steer(
        real, "pet", density=density, config=config, vqa=ZeroShotVqa(real, ["pet", "plant"])
    )
    assert result.surprisal.isfinite().all() and len(result.concept) == 2
    z = draw_rare(
        real,
        result.concept,
        density=density,
        target=result.target.surprisal,
        n=2,
        template="a photo of a {}",
        generator=seeded(),
        config=config,
    )
    assert z.shape == (2, 2, 16) and z.isfinite().all()


def test_steering_moves_to_what_is_rare(real):
    config = replace(SHORT, steps=12, anchor=0.0, concepts=1, samples=4)
    density = fit_baseline(real, "a photo of a pet", config)
    result = steer(real, "pet", density=density, config=config)
    assert result.surprisal.median() > density.quantile(0.5) + 1


@pytest.mark.parametrize("space", SPACES)
def test_conceptlab(real, space):
    config = LearnConfig(
        concepts=2,
        steps=3,
        samples=1,
        ask_every=2,
        space=space,
        templates=("a photo of a {}", "a {}"),
    )
    result = learn_concept(
        real, "pet", negatives=["cat"], config=config, vqa=ZeroShotVqa(real, ["plant", "cat"])
    )
    assert all(value.isfinite().all() for value in result.concept.tensors.values())
    assert calibrate(real, "pet", n=4, generator=seeded()).ceiling <= 1


def test_mixing_and_evolution(real):
    config = MixConfig(each=2, samples=1, steps=2, templates=("a photo of a {}", "a {}"))
    concept = init(real, "subject", "pet", k=2, generator=seeded())
    parents = picture_embeddings(real, concept, generator=seeded(), config=config)
    mixed = mix(real, "pet", parents[None], config=config)
    assert all(value.isfinite().all() for value in mixed.tensors.values())
    family = evolve(real, Family(tuple(Member(concept.select([i])) for i in range(2))), config)
    assert len(family.last_generation()) == 1


def test_settling(real):
    concept = init(real, "subject", "pet", k=2, generator=seeded())
    settled = settle(
        real,
        "pet",
        concept,
        negatives=[["cat"], ["plant"]],
        steps=2,
        templates=("a photo of a {}", "a {}"),
    )
    assert all(value.isfinite().all() for value in settled.tensors.values())


def test_guidance_while_sampling(real):
    cond = real.encode_text(["a photo of a pet"])
    z = real.sample_prior(cond, 32, noise=seeded())
    density = GaussianDensity.fit(z)
    target = density.quantile(0.99) + 2
    rare = guidance.guide_prior(
        real,
        cond,
        n=2,
        density=density,
        target=target,
        generator=seeded(),
        sampling=PriorSampling(steps=3),
    )
    split = guidance.split_prior(
        real,
        cond,
        n=2,
        density=density,
        target=target,
        generator=seeded(),
        branches=2,
        sampling=PriorSampling(steps=3),
    )
    drawn = guidance.guide_decoder(
        real, rare, density=density, target=target, generator=seeded(), steps=3
    )
    assert rare.isfinite().all() and split.shape == rare.shape and drawn.shape == (1, 2, 3, 16, 16)
    assert Direction.of_words(density, real, ["a red pet"], than="a pet").loss(z).isfinite().all()


def test_unclip_tools(real):
    pictures = torch.rand(2, 3, 20, 20, generator=seeded())
    tools = latent.with_ddim(real)
    inverted = latent.ddim_inversion(tools, pictures, steps=3)
    assert latent.variations(tools, inverted, n=2, generator=seeded(), steps=3).shape == (
        2,
        2,
        3,
        16,
        16,
    )
    one, two = (replace(inverted, z=inverted.z[[i]], noise=inverted.noise[[i]]) for i in range(2))
    assert latent.interpolate(tools, one, two, weights=torch.tensor([0.0, 1.0]), steps=3).shape == (
        1,
        2,
        3,
        16,
        16,
    )


def test_baselines_and_checks(real):
    for drawn in (
        baselines.prompt_only(real, "pet", 2, generator=seeded(), temperature=1.5),
        baselines.negative_prompt(real, "pet", negatives=["cat"], n=2, generator=seeded()),
        baselines.negative_prompt(
            real, "pet", negatives=["cat"], n=2, generator=seeded(), on="decoder"
        ),
        baselines.random_mix(real, ["cat", "plant"], 2, generator=seeded()),
        baselines.adaptive_negatives(
            real, ZeroShotVqa(real, ["cat", "plant"]), "pet", n=2, generator=seeded(), steps=2
        ),
    ):
        assert drawn.pictures.shape == (2, 3, 16, 16) and drawn.z.isfinite().all()
    shares = valid_share(
        real, ZeroShotVqa(real, ["pet", "plant"]), torch.randn(1, 2, 16), word="pet", seed=0
    )
    assert ((shares >= 0) & (shares <= 1)).all()


def test_starting_at_a_picture(real):
    concept = textual_inversion(
        real, "pet", torch.rand(2, 3, 20, 20, generator=seeded()), config=replace(SHORT, steps=2)
    )
    assert len(concept) == 2


def test_the_command(cache, tmp_path, device):
    made = create(
        "a photo of a pet",
        tmp_path / "out",
        count=2,
        model="kandinsky-2-1",
        device=device,
        config=SHORT,
    )
    report = json.loads((made.folder / "report.json").read_text())
    assert report["model"]["revisions"] == dict.fromkeys(MODELS["kandinsky-2-1"].hub, COMMIT)


def test_offload_changes_nothing(cache, device):
    """The two sets of networks take turns, and results stay the same."""
    for name in NAMES:
        whole, turns = (
            load(name, device, torch.float32, offload=offload) for offload in (False, True)
        )
        assert turns.offloader is not None and whole.offloader is None
        drawn = []
        for pipe in (whole, turns):
            z = pipe.sample_prior(pipe.encode_text(["a photo of a pet"]), 2, noise=seeded())
            drawn.append((z, pipe.decode(z, generator=seeded(), steps=2)))
        assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))
        turns.offloader.onload("prior")
        assert next(turns.decoder.unet.parameters()).device.type == "cpu"
        assert next(turns.prior.parameters()).device.type == device
    with pytest.raises(
        InputError, match="space is 'decoder' with a model loaded with offload=True"
    ):
        embed_in_space(
            "decoder",
            turns,
            init(turns, "subject", "pet")
            .with_tensors({"vectors": turns.token_table[[100]].clone().requires_grad_()})
            .condition(turns, "a {}"),
            n=1,
            generator=seeded(),
        )


# Against plain diffusers on the same files.


def test_kandinsky_21_equals_plain_diffusers(cache):
    from diffusers import KandinskyPipeline, KandinskyPriorPipeline

    pipe = load("kandinsky-2-1", "cpu")
    prior, decoder = (
        kind.from_pretrained(folder)
        for kind, folder in zip(
            (KandinskyPriorPipeline, KandinskyPipeline),
            (locate("kandinsky-2-1").prior, locate("kandinsky-2-1").decoder),
            strict=True,
        )
    )
    for plain in (prior, decoder):
        plain.set_progress_bar_config(disable=True)
    prompts = ["a photo of a pet", "a red plant"]
    expected = prior(
        prompts,
        num_images_per_prompt=2,
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=seeded(1),
    ).image_embeds
    z = pipe.sample_prior(
        pipe.encode_text(prompts), 2, noise=seeded(1), sampling=PriorSampling(guidance=3.0, steps=4)
    )
    assert torch.allclose(z.flatten(0, 1), expected, atol=1e-4)
    pictures = decoder(
        [""] * 4,
        image_embeds=expected,
        negative_image_embeds=prior.get_zero_embed(4),
        height=64,
        width=64,
        num_inference_steps=5,
        guidance_scale=3.0,
        output_type="np",
        latents=torch.randn(4, 4, 16, 16, generator=seeded(3)),
    ).images
    # Plain diffusers draws no smaller pictures.
    pipe.decoder.unet.register_to_config(sample_size=16)
    noise = torch.randn(4, 4, 16, 16, generator=seeded(3)).view(2, 2, 4, 16, 16)
    ours = pipe.decode(z, noise=noise, steps=5, guidance=3.0, generator=seeded())
    assert np.abs(ours.flatten(0, 1).permute(0, 2, 3, 1).numpy() - pictures).max() < 2 / 255


def test_karlo_equals_plain_diffusers(cache):
    from diffusers import UnCLIPPipeline

    pipe = load("karlo", "cpu")
    own = pipe.decoder
    plain = UnCLIPPipeline(
        pipe.prior,
        own.unet,
        pipe.text_encoder,
        pipe.tokenizer,
        own.text_proj,
        own.super_first,
        own.super_last,
        pipe.prior_scheduler,
        own.scheduler,
        own.super_scheduler,
    )
    plain.set_progress_bar_config(disable=True)
    start = {
        "prior_latents": torch.randn(2, 16, generator=seeded(1)),
        "decoder_latents": torch.randn(2, 3, 8, 8, generator=seeded(2)),
        "super_res_latents": torch.randn(2, 3, 16, 16, generator=seeded(3)),
    }
    torch.manual_seed(0)
    expected = plain(
        "",
        num_images_per_prompt=2,
        prior_num_inference_steps=3,
        decoder_num_inference_steps=4,
        generator=seeded(7),
        decoder_guidance_scale=3.0,
        prior_guidance_scale=3.0,
        output_type="np",
        **start,
    ).images
    cond = pipe.encode_text([""])
    generator = seeded(7)
    noise = torch.cat(
        [
            start["prior_latents"][None],
            torch.stack([torch.randn(2, 16, generator=generator) for _ in range(2)]),
        ]
    )
    z = pipe.sample_prior(
        cond, 2, noise=Noise(noise[:, None]), sampling=PriorSampling(guidance=3.0, steps=3)
    )
    with pytest.MonkeyPatch.context() as patch:
        from diffusers.utils import torch_utils

        randn_tensor = torch_utils.randn_tensor

        def given(shape, **options):
            if tuple(shape) == (2, 3, 16, 16):
                return start["super_res_latents"]
            return randn_tensor(shape, **options)

        patch.setattr(torch_utils, "randn_tensor", given)
        pictures = pipe.decode(
            z, noise=start["decoder_latents"][None], generator=generator, steps=4, guidance=3.0
        )
    assert np.abs(pictures[0].permute(0, 2, 3, 1).numpy() - expected).max() < 2 / 255


def test_pooling_stays_at_the_end_with_a_concept_in_the_text(cache):
    """A text encoder whose end-of-text id is 2 pools at the largest id: the trap.

    A vector in a word's place leaves the ids as they are.
    """
    for name in ("kandinsky-2-1", "karlo"):
        pipe = load(name, "cpu")
        assert pipe.text_encoder.config.eos_token_id == 2
        word = pipe.tokenizer.convert_tokens_to_ids("pet</w>")
        plain = pipe.encode_text(["a photo of a pet"])
        spliced = pipe.encode_spliced("a photo of a pet", 5, pipe.token_table[[word]])
        assert torch.allclose(plain.pooled, spliced.pooled, atol=1e-5)
        other = pipe.encode_spliced("a photo of a pet", 5, -pipe.token_table[[word]])
        assert not torch.allclose(plain.pooled, other.pooled, atol=1e-3)


def test_a_text_conditions_the_same_alone_and_beside_others(cache):
    """Padding is left out, and the prior sees only the text itself."""
    pipe = load("kandinsky-2-1", "cpu")
    texts = ["a pet", "a photo of a red pet with long ears"]
    both = pipe.encode_text(texts)
    assert both.tokens.shape[1] == both.used < LENGTH
    drawn = pipe.sample_prior(
        both, 2, noise=[seeded(1), seeded(2)], sampling=PriorSampling(guidance=2.0)
    )
    for i, text in enumerate(texts):
        alone = pipe.sample_prior(
            pipe.encode_text([text]), 2, noise=[seeded(1 + i)], sampling=PriorSampling(guidance=2.0)
        )
        assert torch.allclose(drawn[i], alone[0], atol=1e-5)


# Other ways to name a model, and what goes wrong.


def test_folders_and_pairs(cache, tmp_path):
    make_kandinsky_21(tmp_path / "prior", tmp_path / "decoder")
    whole = load(tmp_path, "cpu")
    assert type(whole.decoder).__name__ == "Kandinsky21" and not whole.revisions
    pair = load((tmp_path / "prior", "kandinsky-community/kandinsky-2-1"), "cpu")
    assert list(pair.revisions) == ["kandinsky-community/kandinsky-2-1"]
    assert pair.fingerprint != whole.fingerprint
    make_karlo(tmp_path / "karlo", tmp_path / "eyes")
    assert type(load(tmp_path / "karlo", "cpu").decoder).__name__ == "Karlo"
    shutil.copytree(tmp_path / "eyes", tmp_path / "karlo" / "image_encoder")
    shutil.copytree(tmp_path / "eyes", tmp_path / "karlo" / "feature_extractor")
    assert not load(tmp_path / "karlo", "cpu").revisions
    repo = hub_folder(cache, "somebody/own-kandinsky")
    make_kandinsky_22(repo / "prior", repo / "decoder")
    assert load("somebody/own-kandinsky", "cpu").revisions == {"somebody/own-kandinsky": COMMIT}


def test_revisions(cache):
    assert (
        load("kandinsky-2-2", "cpu", revision=COMMIT).revisions
        == load("kandinsky-2-2", "cpu").revisions
    )
    with pytest.raises(InputError, match="at revision 'fedcba'.*is not whole in the cache"):
        load("kandinsky-2-2", "cpu", revision=("fedcba", None))
    with pytest.raises(InputError, match="revision is 'main'; expected None for 'menagerie'"):
        load("menagerie", "cpu", revision="main")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda folder: (folder / "prior", folder / "prior"),
            "the decoder in .* is a KandinskyPriorPipeline; expected Kandinsky",
        ),
        (
            lambda folder: (folder / "decoder", folder / "decoder"),
            "the prior in .* is a KandinskyPipeline; expected Kandinsky",
        ),
        (lambda folder: folder / "prior", r"no prior/model_index\.json"),
        (
            lambda folder: (shutil.rmtree(folder / "prior" / "tokenizer"), folder)[1],
            "the prior in .* lacks tokenizer, which a ",
        ),
        (
            lambda folder: (folder / "prior", "nobody/nothing"),
            "model 'nobody/nothing' is not whole in the cache at .* downloaded",
        ),
        (
            lambda folder: "kandinski",
            "neither a known name nor a folder; "
            "known names: menagerie, kandinsky-2-1, kandinsky-2-2, karlo",
        ),
        (lambda folder: "a/b/c", "neither a known name nor a folder"),
    ],
)
def test_wrong_folders(cache, tmp_path, make, words):
    make_kandinsky_21(tmp_path / "prior", tmp_path / "decoder")
    with pytest.raises(InputError, match=words):
        load(make(tmp_path), "cpu")


def test_a_tokenizers_own_code_is_neither_run_nor_asked_about(tmp_path, monkeypatch):
    """Kandinsky 2.1's second tokenizer was one for transformers to choose."""
    monkeypatch.setattr("builtins.input", lambda text: pytest.fail("the user was asked"))
    make_kandinsky_21(tmp_path / "prior", tmp_path / "decoder")
    file = tmp_path / "decoder" / "tokenizer" / "tokenizer_config.json"
    about = json.loads(file.read_text())
    for values, words in (
        ({"auto_map": {"AutoTokenizer": ["own.Own", None]}}, "sets auto_map to"),
        ({"tokenizer_class": "Own"}, "is of class Own; expected XLMRobertaTokenizer"),
    ):
        file.write_text(json.dumps(about | values))
        with pytest.raises(InputError, match=words):
            load(tmp_path, "cpu")


def test_kandinsky_21s_words_are_those_that_transformers_would_choose(cache):
    from transformers import AutoTokenizer, XLMRobertaTokenizer

    folder = locate("kandinsky-2-1").decoder / "tokenizer"
    texts = ["", "a photo of a pet", "red ears!"]
    tokens = [cls.from_pretrained(folder)(texts) for cls in (AutoTokenizer, XLMRobertaTokenizer)]
    assert tokens[0].input_ids == tokens[1].input_ids


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_missing_in_the_cache_is_asked_for(cache, tmp_path, monkeypatch, name):
    """Whatever file of whatever part it is: other programs fill the cache in part."""
    from huggingface_hub import constants

    shutil.copytree(cache, tmp_path / "cut")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cut"))
    found = locate(name)
    folders = {found.prior, found.decoder, found.image_encoder}
    files = {
        file
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file()
        and file.name not in ("special_tokens_map.json", "generation_config.json", "merges.txt")
        and not (file.name == "vocab.json" and (file.parent / "tokenizer.json").is_file())
    }
    assert len(files) > 10
    for file in sorted(files):
        aside = file.rename(tmp_path / "aside")
        with pytest.raises(InputError, match="is not whole in the cache"):
            locate(name)
        aside.rename(file)


def test_too_little_memory(cache, monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setattr(loading.psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    with pytest.raises(
        InputError,
        match=r"'kandinsky-2-1' needs 0\.0 GB for its weights in float32, and cpu has 0\.0 GB free",
    ):
        load("kandinsky-2-1", "cpu")


def test_weights_are_counted_before_they_are_read(cache):
    found = locate("kandinsky-2-2")
    prior = load("kandinsky-2-2", "cpu").prior
    counted = networks.gigabytes(weight_files(found.prior / "prior", PRIOR), torch.float16)
    assert counted == pytest.approx(2 * sum(p.numel() for p in prior.parameters()) / 1e9)


def test_a_download_is_announced(tmp_path, monkeypatch, capsys):
    """Its size and license are printed first. A disk that is too small is refused before that."""
    import huggingface_hub
    from huggingface_hub import constants

    asked = []

    def fake(repo, local_files_only, **how):
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not there")
        asked.append((repo, how["revision"], capsys.readouterr().out))
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    with pytest.raises(InputError, match="no network"):
        load("karlo", "cpu")
    assert asked[0][0] == "kakaobrain/karlo-v1-alpha"
    assert "about 16 GB to download" in asked[0][2]
    assert "CreativeML Open RAIL-M" in asked[0][2]
    assert "It needs a GPU" in asked[0][2]
    assert "Now come 13.8 GB from kakaobrain/karlo-v1-alpha." in asked[0][2]
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 10**9))
    with pytest.raises(
        InputError, match=r"a download of 13\.8 GB, and .* has room for 1\.0; set HF_HOME"
    ):
        load("karlo", "cpu")


def test_an_interrupted_download_resumes(cache, tmp_path, monkeypatch):
    """A folder that lacks weights does not count as complete, and is requested again."""
    from huggingface_hub import constants

    shutil.copytree(cache, tmp_path / "cut")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cut"))
    found = locate("kandinsky-2-2")
    next((found.decoder / "unet").glob("*.safetensors")).unlink()
    with pytest.raises(
        InputError,
        match="kandinsky-2-2-decoder' is not whole in the cache at .* and cannot be downloaded",
    ):
        load("kandinsky-2-2", "cpu")


def test_only_files_that_are_read_are_downloaded(tmp_path, monkeypatch):
    """No pickles, no second precision, no pictures, and no folders of other parts."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils import filter_repo_objects

    files = [
        "model_index.json",
        "README.md",
        "sample.png",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "scheduler/scheduler_config.json",
        "prior/config.json",
        "prior/diffusion_pytorch_model.safetensors",
        "tokenizer/merges.txt",
        "safety_checker/model.safetensors",
    ]
    requested = {}

    def fake(repo, local_files_only, allow_patterns, ignore_patterns, **how):
        requested[repo] = set(
            filter_repo_objects(
                files, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
            )
        )
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    for repo, kinds in (
        ("kandinsky-community/kandinsky-2-1-prior", PRIORS["KandinskyPriorPipeline"]),
        ("kandinsky-community/kandinsky-2-1", DECODERS["KandinskyPipeline"]),
    ):
        with pytest.raises(InputError, match="no network"):
            snapshot(repo, lacks=lambda folder: "all", parts=list(kinds))
    both = {"model_index.json", "scheduler/scheduler_config.json", "tokenizer/merges.txt"}
    prior, decoder = requested.values()
    assert prior == both | {"prior/config.json", "prior/diffusion_pytorch_model.safetensors"}
    assert decoder == both | {"unet/config.json", "unet/diffusion_pytorch_model.safetensors"}


def test_the_chapters_cells_draw(tmp_path, monkeypatch):
    """Chapter 13 runs with its GPU cells switched on.

    A tiny stack takes Kandinsky 2.1's place, and the bundled BLIP and judge that of the real ones.
    """
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(session, "can_run", lambda name: name == "kandinsky-2-1")
    monkeypatch.setattr(stacks, "LENGTH", 40)
    fill_hub(tmp_path, "kandinsky-2-1")
    bundled = MODELS["menagerie"].folder
    for part, repo in (
        ("vqa", "Salesforce/blip-vqa-base"),
        ("judge", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
    ):
        shutil.copytree(bundled / part, hub_folder(tmp_path, repo), dirs_exist_ok=True)
    notebook = Path(__file__).parents[2] / "notebooks" / "13-kandinsky.ipynb"
    cells = json.loads(notebook.read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    needed = ("if REAL", "REAL =", "import matplotlib", "fit_baseline")
    code = "\n".join(source for source in sources if any(word in source for word in needed))
    for long, short in (
        ("steps=1000, ask_every=100", "steps=3, ask_every=2"),
        ("baseline_samples=2000", "baseline_samples=64"),
        ('SteerConfig(kind="subject"', 'SteerConfig(kind="subject", steps=3'),
    ):
        assert long in code
        code = code.replace(long, short)
    space = {"MODEL": "menagerie"}
    plt.switch_backend("agg")
    exec(code, space)
    plt.close("all")
    assert space["kandinsky"].revisions and space["rare"].shape == (4, 2, 16)
    assert space["learned"].steps == 3
    assert space["moved"].shape[1:3] == (4, 3)
    assert space["seen"].shape[0] == 8
