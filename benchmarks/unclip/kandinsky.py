"""python -m benchmarks.unclip.kandinsky [PART ...]: how fast and how large things are at Kandinsky 2.1's size, with random weights.

    step        a step of ConceptLab against the released code's, and what each change gains
    rate        a batch of 16 concepts against the machine's matrix rate
    prior       5,000 image embeddings, against diffusers' own pipeline
    density     fit and log-density of 10 million embeddings of width 768
    precision   where runs end in bfloat16 and float16, against float32, with the bundled model
    memory      weights by part (CPU); peaks and seconds of whole stacks of Kandinsky 2.1's and of 2.2's size (GPU)

On a CPU the prior is cut to 6 of its 20 layers. Each part is published as results/kandinsky-PART-DEVICE.json. CREATIVELIB_TINY=1 takes
networks of a few thousand weights instead, to try the script, and publishes nothing.
"""

import copy
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from benchmarks.figures import Figure, asked, at_least, at_most, publish
from benchmarks.unclip.released import Parts, released_step
from creativelib.concept import TokenConcept
from creativelib.conceptlab.constraints import Positive, TextEmbeddings, negative_term
from creativelib.conceptlab.learning import iter_learn
from creativelib.conceptlab.settings import LearnConfig
from creativelib.density import GaussianDensity
from creativelib.optimization.loop import optimize
from creativelib.steering.recipe import iter_steer
from creativelib.steering.settings import SteerConfig
from creativelib.steering.target import fit_baseline
from creativelib.unclip import graphs
from creativelib.unclip.pipeline import Pipeline, load
from creativelib.unclip.prior import PriorSampling

TINY = bool(os.environ.get("CREATIVELIB_TINY"))
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FAST = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
LAYERS = 20 if DEVICE.type == "cuda" else 6
NEGATIVES = ("cat", "dog", "rabbit", "fox", "bird")
TEMPLATE = "a photo of a {}"
K = 16
ANY = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, *graphs.SHORT]
REPEATS = 20 if DEVICE.type == "cuda" else 3


@dataclass
class Size:
    """Of the networks."""

    width: int
    heads: int
    layers: int
    embedding: int
    text: tuple[int, int, int]  # width, layers, heads of the text encoder
    second: tuple[int, int, int]
    vocabulary: int


SIZE = (
    Size(32, 2, 2, 16, (16, 1, 2), (16, 1, 2), 2000)
    if TINY
    else Size(2048, 32, LAYERS, 768, (768, 12, 12), (1024, 24, 16), 49408)
)


def sync() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def seconds(run: Callable[[], object], repeats: int = REPEATS, warm: int = 4) -> float:
    """The median of several runs."""
    for _ in range(warm if DEVICE.type == "cuda" else 1):
        run()
    found = []
    for _ in range(repeats):
        sync()
        started = time.perf_counter()
        run()
        sync()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def random_pipe(dtype: torch.dtype) -> Pipeline:
    """Text encoder and prior of Kandinsky 2.1's size, made where they are used, with the bundled model's words."""
    from diffusers import PriorTransformer, UnCLIPScheduler
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

    from creativelib.models.names import MODELS

    folder = MODELS["menagerie"].folder
    assert folder is not None
    tokenizer = CLIPTokenizer.from_pretrained(folder / "prior" / "tokenizer", model_max_length=77)
    width, layers, heads = SIZE.text
    torch.manual_seed(0)
    with torch.device(DEVICE):
        text: Any = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=SIZE.vocabulary,
                hidden_size=width,
                intermediate_size=4 * width,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                projection_dim=SIZE.embedding,
                max_position_embeddings=77,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        )
        prior: Any = PriorTransformer(
            SIZE.heads,
            SIZE.width // SIZE.heads,
            SIZE.layers,
            embedding_dim=SIZE.embedding,
            num_embeddings=77,
        )
        torch.nn.init.ones_(prior.clip_std)
    networks = [network.to(dtype).eval().requires_grad_(False) for network in (text, prior)]
    nothing: Any = None
    scheduler = UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=10.0
    )
    return Pipeline(
        "random",
        "random",
        False,
        {},
        DEVICE,
        dtype,
        tokenizer,
        networks[0],
        nothing,
        nothing,
        networks[1],
        scheduler,
        nothing,
    )


def released_parts(pipe: Pipeline) -> Parts:
    """The released loop's networks: the same prior and text encoder, and a MultilingualCLIP, in the precision they were released in."""
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP

    dtype = torch.float16 if DEVICE.type == "cuda" else torch.float32
    width, layers, heads = SIZE.second
    with torch.device(DEVICE):
        second: Any = MultilingualCLIP(
            MCLIPConfig(
                transformerDimSize=width,
                imageDimSize=SIZE.embedding,
                vocab_size=1000 if TINY else 250_002,
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                intermediate_size=4 * width,
                max_position_embeddings=514,
                type_vocab_size=1,
                pad_token_id=1,
            )
        )
    text = copy.deepcopy(pipe.text_encoder).to(dtype)
    prior = copy.deepcopy(pipe.prior).to(dtype)
    prompts = pipe._tokenize([TEMPLATE.format("pet"), ""])
    ids = torch.randint(5, 900, (1 + len(NEGATIVES), 77), device=DEVICE)
    mask = (torch.arange(77, device=DEVICE) < 8).expand(len(ids), -1).long()
    place = pipe.tokenizer.convert_tokens_to_ids(pipe.tokenizer.tokenize("pet"))[0]
    return Parts(
        text,
        prior,
        pipe.prior_scheduler,
        second.to(dtype).eval().requires_grad_(False),
        prompts.ids,
        prompts.mask,
        ids,
        mask,
        place,
    )


def our_steps(pipe: Pipeline, k: int, n: int = 1) -> Iterator[object]:
    """The library's loop, without an end."""
    words = TextEmbeddings(pipe)
    objective = 1.0 * negative_term(words, TEMPLATE, [NEGATIVES] * k, 0.2) + Positive(
        words(TEMPLATE, ["pet"]), 0.28
    )
    start = TokenConcept.init(pipe, "pet", k, torch.Generator().manual_seed(0))
    return optimize(
        pipe, start, objective, [TEMPLATE], 10**9, 0.01, 0, n, PriorSampling(guidance=4.0)
    )


def our_seconds(
    pipe: Pipeline, k: int, n: int = 1, replayed: bool = True, short: bool = True
) -> float:
    """`short` False: with the attention that PyTorch would choose."""
    usual = graphs.EAGER
    graphs.EAGER = 2 if replayed else 10**9
    best = graphs.SHORT
    graphs.SHORT = graphs.SHORT if short else ANY
    steps = our_steps(pipe, k, n)
    try:
        return seconds(lambda: next(steps))
    finally:
        graphs.EAGER = usual
        graphs.SHORT = best


def compiled(pipe: Pipeline) -> Pipeline:
    """With each block of the prior compiled."""
    prior = copy.deepcopy(pipe.prior)
    for block in prior.transformer_blocks:
        block.compile(dynamic=False)
    return replace(pipe, prior=prior)


def step_part() -> list[Figure]:
    pipe = random_pipe(FAST)
    gpu = DEVICE.type == "cuda"
    parts = released_parts(pipe)
    with torch.enable_grad():
        ladder = {
            "released": seconds(released_step(parts)),
            "constraints encoded once": seconds(released_step(parts, cached=True)),
            "one vector, not the table": seconds(
                released_step(parts, cached=True, one_vector=True)
            ),
        }
    del parts
    ladder["our loop: padding left out, noise drawn beforehand"] = alone = our_seconds(
        pipe, 1, replayed=False, short=False
    )
    if gpu:
        ladder["attention for short texts"] = our_seconds(pipe, 1, replayed=False)
        ladder["replayed as a CUDA graph"] = alone = our_seconds(pipe, 1)
    together = f"{K} concepts, replayed, each" if gpu else f"{K} concepts, each"
    ladder[together] = sixteen = our_seconds(pipe, K) / K
    if gpu:
        ladder[f"{K} concepts, eager, each"] = our_seconds(pipe, K, replayed=False) / K
        ladder[f"{K} concepts, replayed, attention as PyTorch chooses, each"] = (
            our_seconds(pipe, K, short=False) / K
        )
        quick = compiled(pipe)
        ladder["blocks compiled as well"] = our_seconds(quick, 1)
        ladder[f"{K} concepts, compiled and replayed, each"] = our_seconds(quick, K) / K
        del quick
    bars = (5.0, 15.0) if gpu else (2.0, 3.0)
    figures = [
        Figure(f"milliseconds a concept and step: {name}", 1000 * value, "ms")
        for name, value in ladder.items()
    ]
    figures += [
        at_least(
            "the released step's time / ours, one concept",
            ladder["released"] / alone,
            "times",
            bars[0],
        ),
        at_least(
            f"the released step's time / ours for each of {K} concepts",
            ladder["released"] / sixteen,
            "times",
            bars[1],
        ),
    ]
    if gpu:
        whole = random_pipe(torch.float32)
        for k, fast in ((1, alone), (K, K * sixteen)):
            ratio = our_seconds(whole, k) / fast
            several = "one concept" if k == 1 else f"{k} concepts"
            figures.append(
                Figure(f"float32's time / bfloat16's, {several}, replayed", ratio, "times")
            )
    return figures


def rate_part() -> list[Figure]:
    from torch.utils.flop_counter import FlopCounterMode

    size = 8192 if DEVICE.type == "cuda" else 256 if TINY else 2048
    a, b = (torch.randn(size, size, device=DEVICE, dtype=FAST) for _ in range(2))
    best = 2 * size**3 / seconds(lambda: a @ b)
    pipe = random_pipe(FAST)
    figures = [
        Figure(
            f"measured matrix rate in {str(FAST).removeprefix('torch.')}", best / 1e12, "TFLOP/s"
        )
    ]
    for n in (1, 2, 4, 8) if DEVICE.type == "cuda" else (1, 2):
        steps = our_steps(pipe, K, n)
        with FlopCounterMode(display=False) as counter:
            next(steps)
        found = counter.get_total_flops() / our_seconds(pipe, K, n)
        figures.append(
            at_least(
                f"share of the matrix rate, {K} concepts x {n} samples",
                100 * found / best,
                "%",
                40.0,
            )
        )
    return figures


def prior_part() -> list[Figure]:
    from diffusers import KandinskyPriorPipeline
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    count, batch = (64, 32) if TINY else (5000, 500) if DEVICE.type == "cuda" else (100, 50)
    pipe = random_pipe(FAST)
    eyes: Any = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            projection_dim=SIZE.embedding,
        )
    )
    nothing: Any = None
    plain = KandinskyPriorPipeline(
        prior=pipe.prior,
        image_encoder=eyes.to(DEVICE, FAST),
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        scheduler=pipe.prior_scheduler,
        image_processor=nothing,
    )
    plain.set_progress_bar_config(disable=True)

    def ours() -> Tensor:
        with torch.no_grad():
            return pipe.sample_prior(
                pipe.encode_text(["a photo of a pet"]),
                count,
                noise=torch.Generator().manual_seed(0),
            )

    def theirs() -> None:
        for _ in range(count // batch):
            plain(
                "a photo of a pet",
                num_images_per_prompt=batch,
                num_inference_steps=5,
                guidance_scale=1.0,
                generator=torch.Generator().manual_seed(0),
            )

    repeats = 1
    times = seconds(ours, repeats, 1), seconds(theirs, repeats, 1)
    figures = [
        Figure(f"{count} image embeddings in 5 steps", times[0], "s"),
        Figure(
            f"time of diffusers' KandinskyPriorPipeline in batches of {batch} / ours",
            times[1] / times[0],
            "times",
        ),
    ]
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        ours()
        more = (torch.cuda.max_memory_allocated() - held) / 1e9
        figures.append(
            Figure(f"memory for {count} image embeddings, beside the weights", more, "GB")
        )
    return figures


def density_part() -> list[Figure]:
    """Of correlated embeddings whose spectrum falls, as CLIP's does: 50 components hold 95 % of the variance."""
    from sklearn.decomposition import PCA

    d = 768
    n, part = (
        (20_000, 10_000)
        if TINY
        else (10_000_000, 500_000)
        if DEVICE.type == "cuda"
        else (200_000, 50_000)
    )
    generator = torch.Generator(DEVICE).manual_seed(0)
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator, device=DEVICE)).Q
    spread = torch.full((d,), 0.085, device=DEVICE)
    spread[:50] = torch.linspace(2.0, 0.5, 50, device=DEVICE)
    z = torch.empty(n, d, device=DEVICE)
    for rows in z.split(part):
        rows.copy_(
            (torch.randn(rows.shape, generator=generator, device=DEVICE) * spread) @ turn + 0.5
        )
    few = min(n, 200_000)

    def fit(rows: Tensor = z) -> GaussianDensity:
        return GaussianDensity.fit_stream(rows.split(part), rows[:few].split(part), pca=0.95)

    density = fit().to(DEVICE)

    def judge(rows: Tensor = z) -> Tensor:
        return torch.cat([density.log_prob(each) for each in rows.split(part)])

    times = {"fit": seconds(fit, 3, 1), "log-density": seconds(judge, 3, 1)}
    figures = [
        Figure(f"{name} of {n / 1e6:g} M x {d}", value, "s") for name, value in times.items()
    ]
    if DEVICE.type == "cuda":
        figures.append(
            Figure(
                "fit: operations of the covariance in float64 / time",
                2 * n * d * d / times["fit"] / 1e12,
                "TFLOP/s",
            )
        )
        copied = torch.empty_like(z[: n // 4])
        band = 2 * copied.nbytes / seconds(lambda: copied.copy_(z[: n // 4]), 5, 1)
        figures += [Figure("measured memory bandwidth, read and written", band / 1e9, "GB/s")]
        figures += [
            Figure(
                f"{name}: bytes of the embeddings / time / bandwidth",
                100 * z.nbytes / value / band,
                "%",
            )
            for name, value in times.items()
        ]
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        judge()
        figures.append(
            Figure(
                "memory for the log-density, beside the embeddings",
                (torch.cuda.max_memory_allocated() - held) / 1e9,
                "GB",
            )
        )
    for precision in (torch.float32, torch.float64):
        same = z[:few].cpu().to(precision).numpy()
        other = PCA(len(density.subspace.axes), svd_solver="covariance_eigh")
        theirs = {
            "fit": seconds(lambda other=other, same=same: other.fit(same), 1, 0),
            "log-density": seconds(lambda other=other, same=same: other.score_samples(same), 1, 0),
        }
        kind = str(precision).removeprefix("torch.")
        figures += [
            Figure(
                f"{name}: scikit-learn's PCA in {kind} on the CPU / ours, time for each embedding",
                theirs[name] / few / (ours / n),
                "times",
            )
            for name, ours in times.items()
        ]
    # Both in float64, and fitted to the same: in float32 scikit-learn's loses whole nats.
    same = z[:20_000].cpu().double()
    ours = GaussianDensity.fit_stream([same], [same], pca=0.95)
    other = PCA(len(ours.subspace.axes), svd_solver="covariance_eigh").fit(same.numpy())
    apart = (torch.as_tensor(other.score_samples(same.numpy())) - ours.log_prob(same)).abs().max()
    figures.append(
        Figure("largest difference to scikit-learn's log-density in float64", apart.item(), "nats")
    )
    return figures


def precision_part() -> list[Figure]:
    """Both papers' loops, from the same start with the same noise: only the networks' precision differs."""
    kinds = [torch.float32, torch.bfloat16] + ([torch.float16] if DEVICE.type == "cuda" else [])
    seeds = range(1 if TINY else 3)
    ends = {}
    for dtype in kinds:
        pipe = load("menagerie", DEVICE, dtype)
        rows: dict[str, list[Tensor]] = {"ConceptLab": [], "steering": []}
        density = fit_baseline(load("menagerie", DEVICE), "a photo of a pet")
        for seed in seeds:
            learned = LearnConfig(steps=4 if TINY else 120, concepts=4)
            totals = [
                run.step.terms.total
                for run in iter_learn(pipe, "pet", ["cat", "dog", "bird"], learned, seed)
                if run.step
            ]
            rows["ConceptLab"].append(torch.stack(totals[-10:]).mean(0).cpu())
            # Without the goal's stop: a target that no run reaches.
            steered = SteerConfig(steps=4 if TINY else 60, dial=3.0)
            totals = [
                run.step.z for run in iter_steer(pipe, "pet", density, steered, seed) if run.step
            ]
            rows["steering"].append(
                torch.stack([density.surprisal(z).median(1).values for z in totals[-10:]])
                .mean(0)
                .cpu()
            )
        ends[dtype] = {name: torch.cat(values) for name, values in rows.items()}
    figures = []
    for name, unit in (("ConceptLab", "of the loss"), ("steering", "nats of surprisal")):
        whole = ends[torch.float32][name]
        between = whole.std().item()
        figures.append(Figure(f"{name}: mean in float32 where runs end", whole.mean().item(), unit))
        figures.append(Figure(f"{name}: standard deviation between runs in float32", between, unit))
        for dtype in kinds[1:]:
            apart = (ends[dtype][name] - whole).mean().abs().item()
            # As much as the mean of so many runs wavers by itself.
            bar = round(2 * between / len(whole) ** 0.5, 4)
            kind = str(dtype).removeprefix("torch.")
            figures.append(
                at_most(
                    f"{name}: how far {kind} ends from float32, in the mean of runs",
                    apart,
                    unit,
                    bar,
                )
            )
    return figures


def memory_part() -> list[Figure]:
    from benchmarks.unclip.memory import counts, peaks

    return peaks(DEVICE) if DEVICE.type == "cuda" else counts()


PARTS = {
    "step": step_part,
    "rate": rate_part,
    "prior": prior_part,
    "density": density_part,
    "precision": precision_part,
    "memory": memory_part,
}

if __name__ == "__main__":
    for chosen in asked(__doc__ or "", PARTS):
        found = PARTS[chosen]()
        if TINY:
            print(
                *(f"{figure.name}: {figure.value:.4g} {figure.unit}" for figure in found), sep="\n"
            )
        else:
            publish(
                f"kandinsky-{chosen}-{'gpu' if DEVICE.type == 'cuda' else 'cpu'}", found, seed=0
            )
        if DEVICE.type == "cuda":
            torch.cuda.empty_cache()
