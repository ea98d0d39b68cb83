"""Measure time and memory at Kandinsky 2.1's size, with random weights.

    python -m benchmarks.unclip.kandinsky [PART ...]

    step        a step of ConceptLab against the released code's, and what each change gains
    rate        a batch of 16 concepts against the machine's matrix rate
    prior       5,000 image embeddings, against diffusers' own pipeline
    density     fit and log-density of 10 million embeddings of width 768
    precision   where runs end in bfloat16 and float16, against float32, with the bundled model
    memory      weights by part (CPU); peaks and seconds of stacks of 2.1's and of 2.2's size (GPU)

On a CPU the prior is cut to 6 of its 20 layers. Each part is published as
results/kandinsky-PART-DEVICE.json. CREATIVELIB_TINY=1 takes networks of a few thousand weights
instead, to try the script, and publishes nothing.
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
from creativelib.errors import MOST
from creativelib.optimization.loop import optimize
from creativelib.seeds import seeded
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
    """Sizes of the networks."""

    # Of the prior.
    width: int
    heads: int
    layers: int
    # Width of image embeddings.
    embedding: int
    # Width, layers and heads of the text encoder, and of the released code's second one.
    text: tuple[int, int, int]
    second: tuple[int, int, int]
    # Tokens of the text encoder.
    vocabulary: int


REAL_SIZE = Size(
    width=2048,
    heads=32,
    layers=LAYERS,
    embedding=768,
    text=(768, 12, 12),
    second=(1024, 24, 16),
    vocabulary=49408,
)
TINY_SIZE = Size(
    width=32,
    heads=2,
    layers=2,
    embedding=16,
    text=(16, 1, 2),
    second=(16, 1, 2),
    vocabulary=2000,
)
SIZE = TINY_SIZE if TINY else REAL_SIZE


def sync() -> None:
    """Wait until the GPU is done, if there is one."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def seconds(run: Callable[[], object], repeats: int = REPEATS, warm: int = 4) -> float:
    """Time several runs after some that warm up, and return the median."""
    for _ in range(warm if DEVICE.type == "cuda" else 1):
        run()
    times = []
    for _ in range(repeats):
        sync()
        started = time.perf_counter()
        run()
        sync()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def random_pipe(dtype: torch.dtype) -> Pipeline:
    """Make a random text encoder and prior of Kandinsky 2.1's size on the device.

    The tokenizer is the bundled model's. The stack has no image encoder and no decoder.
    """
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
    for network in (text, prior):
        network.to(dtype).eval().requires_grad_(False)
    nothing: Any = None
    scheduler = UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=10.0
    )
    return Pipeline(
        name="random",
        fingerprint="random",
        has_truth=False,
        revisions={},
        device=DEVICE,
        dtype=dtype,
        tokenizer=tokenizer,
        text_encoder=text,
        image_encoder=nothing,
        preprocess=nothing,
        prior=prior,
        prior_scheduler=scheduler,
        decoder=nothing,
    )


def released_parts(pipe: Pipeline) -> Parts:
    """Make the released loop's networks in the precision they were released in.

    They are the same prior and text encoder, and a MultilingualCLIP.
    """
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
    token = pipe.tokenizer.convert_tokens_to_ids(pipe.tokenizer.tokenize("pet"))[0]
    return Parts(
        text_encoder=text,
        prior=prior,
        scheduler=pipe.prior_scheduler,
        second=second.to(dtype).eval().requires_grad_(False),
        ids=prompts.ids,
        mask=prompts.mask,
        constraint_ids=ids,
        constraint_mask=mask,
        token=token,
    )


def our_steps(pipe: Pipeline, k: int, n: int = 1) -> Iterator[object]:
    """Run the library's loop of ConceptLab without an end."""
    words = TextEmbeddings(pipe)
    negative = negative_term(words, TEMPLATE, [NEGATIVES] * k, floor=0.2)
    positive = Positive(words(TEMPLATE, ["pet"]), 0.28)
    start = TokenConcept.init(pipe, "pet", k=k, generator=seeded(0))
    return optimize(
        pipe,
        start,
        1.0 * negative + positive,
        templates=[TEMPLATE],
        steps=MOST,
        lr=0.01,
        seed=0,
        n=n,
        sampling=PriorSampling(guidance=4.0),
    )


def our_seconds(
    pipe: Pipeline, k: int, n: int = 1, replayed: bool = True, short: bool = True
) -> float:
    """Time a step of the library's loop.

    Without `replayed` no CUDA graph is recorded. Without `short` PyTorch chooses the attention.
    """
    eager = graphs.EAGER
    short_backends = graphs.SHORT
    graphs.EAGER = 2 if replayed else 10**9
    graphs.SHORT = graphs.SHORT if short else ANY
    steps = our_steps(pipe, k, n)
    try:
        return seconds(lambda: next(steps))
    finally:
        graphs.EAGER = eager
        graphs.SHORT = short_backends


def compiled(pipe: Pipeline) -> Pipeline:
    """Copy the prior and compile each of its blocks."""
    prior = copy.deepcopy(pipe.prior)
    for block in prior.transformer_blocks:
        block.compile(dynamic=False)
    return replace(pipe, prior=prior)


def step_part() -> list[Figure]:
    """Time the released step and ours, with one change after the other."""
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
    one = our_seconds(pipe, 1, replayed=False, short=False)
    ladder["our loop: padding left out, noise drawn beforehand"] = one
    if gpu:
        ladder["attention for short texts"] = our_seconds(pipe, 1, replayed=False)
        one = our_seconds(pipe, 1)
        ladder["replayed as a CUDA graph"] = one
    together = f"{K} concepts, replayed, each" if gpu else f"{K} concepts, each"
    of_many = our_seconds(pipe, K) / K
    ladder[together] = of_many
    if gpu:
        ladder[f"{K} concepts, eager, each"] = our_seconds(pipe, K, replayed=False) / K
        chosen = our_seconds(pipe, K, short=False) / K
        ladder[f"{K} concepts, replayed, attention as PyTorch chooses, each"] = chosen
        quick = compiled(pipe)
        ladder["blocks compiled as well"] = our_seconds(quick, 1)
        ladder[f"{K} concepts, compiled and replayed, each"] = our_seconds(quick, K) / K
        del quick
    bar_of_one = 5.0 if gpu else 2.0
    bar_of_many = 15.0 if gpu else 3.0
    figures = [
        Figure(f"milliseconds a concept and step: {name}", 1000 * value, "ms")
        for name, value in ladder.items()
    ]
    figures += [
        at_least(
            "the released step's time / ours, one concept",
            ladder["released"] / one,
            "times",
            bar=bar_of_one,
        ),
        at_least(
            f"the released step's time / ours for each of {K} concepts",
            ladder["released"] / of_many,
            "times",
            bar=bar_of_many,
        ),
    ]
    if gpu:
        whole = random_pipe(torch.float32)
        for k, fast in ((1, one), (K, K * of_many)):
            ratio = our_seconds(whole, k) / fast
            several = "one concept" if k == 1 else f"{k} concepts"
            title = f"float32's time / bfloat16's, {several}, replayed"
            figures.append(Figure(title, ratio, "times"))
    return figures


def rate_part() -> list[Figure]:
    """Compare the floating-point rate of a step with that of a matrix product."""
    from torch.utils.flop_counter import FlopCounterMode

    size = 8192 if DEVICE.type == "cuda" else 256 if TINY else 2048
    a, b = (torch.randn(size, size, device=DEVICE, dtype=FAST) for _ in range(2))
    best = 2 * size**3 / seconds(lambda: a @ b)
    pipe = random_pipe(FAST)
    title = f"measured matrix rate in {str(FAST).removeprefix('torch.')}"
    figures = [Figure(title, best / 1e12, "TFLOP/s")]
    for n in (1, 2, 4, 8) if DEVICE.type == "cuda" else (1, 2):
        steps = our_steps(pipe, K, n)
        with FlopCounterMode(display=False) as counter:
            next(steps)
        rate = counter.get_total_flops() / our_seconds(pipe, K, n)
        title = f"share of the matrix rate, {K} concepts x {n} samples"
        figures.append(at_least(title, 100 * rate / best, "%", bar=40.0))
    return figures


def prior_part() -> list[Figure]:
    """Time thousands of image embeddings, against diffusers' own pipeline."""
    from diffusers import KandinskyPriorPipeline
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    gpu = DEVICE.type == "cuda"
    count = 64 if TINY else 5000 if gpu else 100
    batch = 32 if TINY else 500 if gpu else 50
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
                noise=seeded(0),
            )

    def theirs() -> None:
        for _ in range(count // batch):
            plain(
                "a photo of a pet",
                num_images_per_prompt=batch,
                num_inference_steps=5,
                guidance_scale=1.0,
                generator=seeded(0),
            )

    our_time = seconds(ours, repeats=1, warm=1)
    their_time = seconds(theirs, repeats=1, warm=1)
    figures = [
        Figure(f"{count} image embeddings in 5 steps", our_time, "s"),
        Figure(
            f"time of diffusers' KandinskyPriorPipeline in batches of {batch} / ours",
            their_time / our_time,
            "times",
        ),
    ]
    if gpu:
        torch.cuda.reset_peak_memory_stats()
        weights = torch.cuda.memory_allocated()
        ours()
        extra = (torch.cuda.max_memory_allocated() - weights) / 1e9
        title = f"memory for {count} image embeddings, beside the weights"
        figures.append(Figure(title, extra, "GB"))
    return figures


def density_part() -> list[Figure]:
    """Time fit and log-density of a Gaussian, against scikit-learn's PCA.

    The embeddings are correlated and their spectrum falls, as CLIP's does: 50 components hold 95 %
    of the variance.
    """
    from sklearn.decomposition import PCA

    gpu = DEVICE.type == "cuda"
    d = 768
    n = 20_000 if TINY else 10_000_000 if gpu else 200_000
    chunk = 10_000 if TINY else 500_000 if gpu else 50_000
    z = correlated_embeddings(n, d, chunk)
    few = min(n, 200_000)

    def fit(rows: Tensor = z) -> GaussianDensity:
        return GaussianDensity.fit_stream(rows.split(chunk), rows[:few].split(chunk), pca=0.95)

    density = fit().to(DEVICE)

    def evaluate(rows: Tensor = z) -> Tensor:
        return torch.cat([density.log_prob(each) for each in rows.split(chunk)])

    times = {"fit": seconds(fit, 3, 1), "log-density": seconds(evaluate, 3, 1)}
    figures = [
        Figure(f"{name} of {n / 1e6:g} M x {d}", value, "s") for name, value in times.items()
    ]
    if gpu:
        rate = 2 * n * d * d / times["fit"] / 1e12
        title = "fit: operations of the covariance in float64 / time"
        figures.append(Figure(title, rate, "TFLOP/s"))
        copied = torch.empty_like(z[: n // 4])
        bandwidth = 2 * copied.nbytes / seconds(lambda: copied.copy_(z[: n // 4]), 5, 1)
        title = "measured memory bandwidth, read and written"
        figures.append(Figure(title, bandwidth / 1e9, "GB/s"))
        for name, value in times.items():
            title = f"{name}: bytes of the embeddings / time / bandwidth"
            figures.append(Figure(title, 100 * z.nbytes / value / bandwidth, "%"))
        torch.cuda.reset_peak_memory_stats()
        allocated = torch.cuda.memory_allocated()
        evaluate()
        extra = (torch.cuda.max_memory_allocated() - allocated) / 1e9
        figures.append(Figure("memory for the log-density, beside the embeddings", extra, "GB"))
    for precision in (torch.float32, torch.float64):
        rows = z[:few].cpu().to(precision).numpy()
        pca = PCA(len(density.subspace.axes), svd_solver="covariance_eigh")
        theirs = {
            "fit": seconds(lambda pca=pca, rows=rows: pca.fit(rows), 1, 0),
            "log-density": seconds(lambda pca=pca, rows=rows: pca.score_samples(rows), 1, 0),
        }
        kind = str(precision).removeprefix("torch.")
        for name, our_time in times.items():
            title = (
                f"{name}: scikit-learn's PCA in {kind} on the CPU / ours, time for each embedding"
            )
            ratio = theirs[name] / few / (our_time / n)
            figures.append(Figure(title, ratio, "times"))
    # Both in float64 and fitted to the same rows: in float32 scikit-learn's loses whole nats.
    rows = z[:20_000].cpu().double()
    ours = GaussianDensity.fit_stream([rows], [rows], pca=0.95)
    pca = PCA(len(ours.subspace.axes), svd_solver="covariance_eigh").fit(rows.numpy())
    difference = torch.as_tensor(pca.score_samples(rows.numpy())) - ours.log_prob(rows)
    title = "largest difference to scikit-learn's log-density in float64"
    figures.append(Figure(title, difference.abs().max().item(), "nats"))
    return figures


def correlated_embeddings(n: int, d: int, chunk: int) -> Tensor:
    """Draw n embeddings of width d on the device, chunk by chunk."""
    generator = seeded(0, DEVICE)
    rotation = torch.linalg.qr(torch.randn(d, d, generator=generator, device=DEVICE)).Q
    spread = torch.full((d,), 0.085, device=DEVICE)
    spread[:50] = torch.linspace(2.0, 0.5, 50, device=DEVICE)
    z = torch.empty(n, d, device=DEVICE)
    for rows in z.split(chunk):
        noise = torch.randn(rows.shape, generator=generator, device=DEVICE)
        rows.copy_((noise * spread) @ rotation + 0.5)
    return z


def precision_part() -> list[Figure]:
    """Run both papers' loops in several precisions, and compare where they end.

    Runs begin at the same start with the same noise: only the networks' precision differs.
    """
    kinds = [torch.float32, torch.bfloat16] + ([torch.float16] if DEVICE.type == "cuda" else [])
    ends = {dtype: ends_of_runs(dtype) for dtype in kinds}
    figures = []
    for name, unit in (("ConceptLab", "of the loss"), ("steering", "nats of surprisal")):
        exact = ends[torch.float32][name]
        between = exact.std().item()
        figures += [
            Figure(f"{name}: mean in float32 where runs end", exact.mean().item(), unit),
            Figure(f"{name}: standard deviation between runs in float32", between, unit),
        ]
        for dtype in kinds[1:]:
            apart = (ends[dtype][name] - exact).mean().abs().item()
            # The mean of as many runs wavers as much by itself.
            bar = round(2 * between / len(exact) ** 0.5, 4)
            kind = str(dtype).removeprefix("torch.")
            title = f"{name}: how far {kind} ends from float32, in the mean of runs"
            figures.append(at_most(title, apart, unit, bar=bar))
    return figures


def ends_of_runs(dtype: torch.dtype) -> dict[str, Tensor]:
    """Run both loops, and average the last ten steps of each concept.

    The values are ConceptLab's loss, and the median surprisal in nats where steering ends.
    """
    pipe = load("menagerie", DEVICE, dtype)
    density = fit_baseline(load("menagerie", DEVICE), "a photo of a pet")
    rows: dict[str, list[Tensor]] = {"ConceptLab": [], "steering": []}
    for seed in range(1 if TINY else 3):
        states = iter_learn(
            pipe,
            "pet",
            negatives=["cat", "dog", "bird"],
            config=LearnConfig(steps=4 if TINY else 120, concepts=4),
            seed=seed,
        )
        totals = [state.step.terms.total for state in states if state.step]
        rows["ConceptLab"].append(torch.stack(totals[-10:]).mean(0).cpu())
        # No run reaches this dial, so none stops early.
        steered = SteerConfig(steps=4 if TINY else 60, dial=3.0)
        states = iter_steer(pipe, "pet", density=density, config=steered, seed=seed)
        drawn = [state.step.z for state in states if state.step]
        medians = [density.surprisal(z).median(1).values for z in drawn[-10:]]
        rows["steering"].append(torch.stack(medians).mean(0).cpu())
    return {name: torch.cat(values) for name, values in rows.items()}


def memory_part() -> list[Figure]:
    """Count weights on a CPU; measure memory and seconds of whole stacks on a GPU."""
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


def main() -> None:
    """Measure the parts that the command line asks for, and publish them unless they are tiny."""
    gpu = DEVICE.type == "cuda"
    for part in asked(__doc__ or "", PARTS):
        figures = PARTS[part]()
        if TINY:
            for figure in figures:
                print(f"{figure.name}: {figure.value:.4g} {figure.unit}")
        else:
            publish(f"kandinsky-{part}-{'gpu' if gpu else 'cpu'}", figures, seed=0)
        if gpu:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
