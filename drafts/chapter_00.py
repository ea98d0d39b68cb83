"""Writes and executes notebooks/00-a-first-look.ipynb. `--tiny`: a dry run on random weights, asserts off, written to nb00_tiny.ipynb.

What to look at after the first real run: every number in the prose marked by an assert; the thresholds in the asserts (they are the
issue's, loosened for 12 pictures); the alt texts, which say what kind of picture is there; the section "What goes wrong".
"""
import json, os, re, sys, tempfile, time
from pathlib import Path
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
import nbformat
from nbclient import NotebookClient

OUT = ROOT / "notebooks" / "00-a-first-look.ipynb"
cells = []

def md(text):
    cells.append(nbformat.v4.new_markdown_cell(text.strip("\n")))

def code(text, alt=None, name=None, caption=None):
    cell = nbformat.v4.new_code_cell(text.strip("\n"))
    if alt:
        cell.metadata["mystnb"] = {"image": {"alt": alt}}
        if name:
            cell.metadata["mystnb"]["figure"] = {"name": name, "caption": caption}
    cells.append(cell)

other = json.loads((ROOT / "notebooks" / "01-the-menagerie.ipynb").read_text())["cells"]
first = "".join(next(c for c in other if c["cell_type"] == "code")["source"])

md('''
# A first look

Ten lines of code take a text-to-image model from the pets that it usually draws to pets that it nearly never draws. This page runs them, shows
what comes out, and then takes them apart.

**You learn**
- how a prompt becomes a picture in the kind of model that this book is about;
- what it means to steer that model to rare pictures;
- how we tell a creative pet from a broken one.

**You need** Python; it helps to have seen PyTorch. **It takes** 20 minutes to read. The code runs in about a minute on a CPU; the models come with the
package, and nothing is downloaded.
''')
cells.append(nbformat.v4.new_code_cell(first))
md('''
## Ten lines
''')
code('''
import torch

from creativelib import GaussianDensity, load, steer

pipe = load(MODEL)
generator = torch.Generator().manual_seed(0)
usual = pipe.encode_text(["a photo of a pet"])
z = pipe.sample_prior(usual, n=2000, generator=generator)
density = GaussianDensity.fit(z)
result = steer(pipe, "pet", density, seed=0)
steered = result.concept.condition(pipe, "a photo of a {}")
z_new = pipe.sample_prior(steered, n=3, generator=generator)
typical = pipe.decode(z[:, :12], generator=generator).flatten(0, 1)
creative = pipe.decode(z_new, generator=generator).flatten(0, 1)
''')
md('''
Above, what the model usually makes of "a photo of a pet"; below, what it makes of the same words after steering. Every picture was drawn by the same
network.
''')
code('''
import matplotlib.pyplot as plt

from creativelib.plots import data_flow, grid

titles = ["typical"] + [""] * 11 + ["creative"] + [""] * 11
grid(torch.cat([typical, creative]), titles, columns=6, scale=1.5)
plt.show()
''', alt="Four rows of six small drawings of pets with dark outlines. The upper two rows show pets of well-known species. The lower two show pets "
         "that mix parts of several species.",
     name="fig-first-look", caption="Twelve typical pets, twelve creative ones.")
md('''
Are they rare, are they still pets, and are they new? The model's own world, the [Menagerie](01-the-menagerie.ipynb), is known exactly, so there are
answers. *Surprisal* says how rare the model finds a picture; *valid* and *novel in form* are judged by a network that reads the parts from each picture
and compares them with all species of this world.
''')
code('''
if pipe.has_truth:
    from creativelib.world.oracle import Oracle

    oracle = Oracle.load()
    judged = {name: oracle.judge(pictures, "pet")
              for name, pictures in (("typical", typical), ("creative", creative))}
    valid = {name: int(j.valid.sum()) for name, j in judged.items()}
    novel = {name: int(j.novel_in_form.sum()) for name, j in judged.items()}
    for name in judged:
        print(f"{name}: {valid[name]} of 12 valid, {novel[name]} of 12 novel in form")
    assert valid["typical"] >= 11 and valid["creative"] >= 7
    assert novel["creative"] > novel["typical"] + 2
''')
code('''
rare = {"typical": density.surprisal(z[0]),
        "creative": density.surprisal(z_new.flatten(0, 1))}
for name, surprisal in rare.items():
    beyond = density.percentile_of(surprisal.median())
    print(f"{name}: median surprisal {surprisal.median():.1f} nats, "
          f"rarer than {beyond:.1f} % of what the model usually makes")
assert rare["creative"].median() > density.quantile(0.99)
''')
md('''
## What just happened

This is the whole machine.
''')
code('''
data_flow()
plt.show()
''', alt="A diagram. A prompt goes into the text encoder, from there into the prior, which makes an image embedding z; the decoder makes the picture "
         "from it. The objective, rare yet a pet, looks at z and sends a gradient back to the concept, a vector that takes the place of a word in "
         "the text encoder.",
     name="fig-data-flow", caption="From a prompt to a picture, and back to the concept. White boxes are data, blue ones networks.")
md('''
### From words to a picture

The model has two stages, as DALL-E 2 {cite}`ramesh2022unclip` and Kandinsky {cite}`razzhigaev2023kandinsky` have. It is a small one, of the same classes
and file formats as Kandinsky 2.2, trained on drawings.

- **Text encoder.** CLIP's network for texts {cite}`radford2021clip`: it turns the words into vectors. It was trained together with a network for pictures, so
  that a text and its picture get similar *embeddings*.
- **Prior.** It draws a picture's embedding from what the text encoder says. It is a diffusion model: it starts from noise and needs a few steps, and other
  noise gives another pet.
- **Decoder.** It draws the picture that an embedding describes. It is a diffusion model too, so it can draw one embedding in several ways.

[Chapter 01](01-the-menagerie.ipynb) shows the world that the model was trained on; the two stages get a chapter of their own.
''')
code('''
for name, tensor in ("text", usual.pooled), ("embeddings", z), ("pictures", typical):
    print(f"{name:10} {tuple(tensor.shape)}")
same = pipe.decode(z[:, :1].expand(-1, 6, -1), generator=generator)[0]
grid(same, columns=6, scale=1.5)
plt.show()
''', alt="Six drawings of one pet that differ only in small things such as the place or the ground.",
     name="fig-one-embedding", caption="One embedding, decoded six times.")
md('''
### What is usual

- **Density.** 2000 embeddings of "a photo of a pet" stand for what a viewer of this model has already seen. A Gaussian in their principal components says how
  densely they lie around any embedding.
- **Surprisal.** Minus the logarithm of that density, in *nats*: one nat more is 2.7 times rarer. It has no natural zero, so compare it with the surprisals of usual
  embeddings.
''')
code('''
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
low, high = rare["typical"].min().item(), rare["creative"].max().item()
bins = torch.linspace(low, high, 60).tolist()
axes.hist(rare["typical"].tolist(), bins, density=True, label="typical")
axes.hist(rare["creative"].tolist(), bins, density=True, alpha=0.7, label="creative")
tail = density.quantile(0.99)
axes.axvline(tail, color="black", linestyle="--", label="99th percentile, typical")
axes.set_xlabel("surprisal, nats")
axes.set_yticks([])
axes.legend()
plt.show()
''', alt="Two histograms of surprisal. Typical embeddings form a hump; creative ones lie to its right, most of them beyond a dashed line at the 99th "
         "percentile of the typical ones.",
     name="fig-surprisal", caption="How rare typical and creative embeddings are.")
md('''
That density is a guess made from samples; the Menagerie's truth is another thing, and no method ever sees it. [How to read this book](../book/how-to-read.md) keeps
the two apart. The chapters on density will ask how good the guess is.

### Steering

- **Concept.** A vector that takes the place of the word "pet" inside the text encoder, as in textual inversion {cite}`gal2022textual`. It starts as the word's own vector; nothing
  else in the model changes.
- **Objective.** What the concept is optimised for, computed on the embeddings that the prior draws from it: be rare, but no rarer than a target
  {cite}`song2026creative`; stay near the text "a photo of a pet", which is the *anchor*; and keep the four concepts of a run apart.
- **Target.** Just past the 99th percentile of what is usual. Rarer is not better: liking is known to peak at medium novelty {cite}`berlyne1971aesthetics`, and far out, pictures
  turn to mush.

The objective is the heart of it, so here it is in the open, for the first step, and equal to the library's.
''')
code('''
from torch.nn.functional import cosine_similarity, normalize, smooth_l1_loss

from creativelib.recipes import DEFAULTS, steering

step = next(iter(steering(pipe, "pet", density, seed=0)))
surprisal = density.surprisal(step.z)
target = torch.full_like(surprisal, result.aim.target)
rarity = smooth_l1_loss(surprisal, target, beta=5, reduction="none").mean(1)
anchor = 1 - cosine_similarity(step.z, usual.pooled[0], dim=-1).mean(1)
ways = normalize(density.whiten(step.z).mean(1), dim=-1)
spread = (ways @ ways.T).clamp_min(0).fill_diagonal_(0).sum(1) / (len(ways) - 1)
total = rarity + DEFAULTS.anchor * anchor + DEFAULTS.spread * spread
assert torch.allclose(total, step.terms.total, rtol=1e-4)
print(f"rarity {rarity[0]:.1f}, anchor {anchor[0]:.2f}, spread {spread[0]:.2f}")
''')
md('''
Each step draws embeddings from the concepts, computes the objective, and moves the vectors along its gradient, which flows back through all steps of the prior. The loop is a
generator: take steps from it, look at them, stop when you like. Here we stop when the first concept has come half way from the percentile to the
target, and decode what it made on the way, always with the same noise.
''')
code('''
from creativelib.widgets import FrameSlider

frames, labels = [], []
for step in steering(pipe, "pet", density, seed=0):
    median = density.surprisal(step.z[0]).median()
    if step.index % 4 == 0 or median >= result.aim.goal:
        noise = torch.Generator().manual_seed(1)
        frames.append(pipe.decode(step.z[:1, :1], generator=noise)[0])
        labels.append(f"{step.index}: {median:.1f} nats")
    if median >= result.aim.goal:
        break
FrameSlider(torch.cat(frames), labels, name="step",
            alt="A pet that changes step by step from a usual one into a rare one.")
''')
md('''
## What goes wrong

Turn the dial up and let the anchor go: rarity alone, far beyond what is usual. The embeddings get as rare as we ask. The pictures pay for it.
''')
code('''
from creativelib import SteerConfig

far = SteerConfig(concepts=2, steps=40, dial=5.0, anchor=0.0)
lost = steer(pipe, "pet", density, far, seed=0)
told = lost.concept.condition(pipe, "a photo of a {}")
z_far = pipe.sample_prior(told, n=6, generator=generator)
pictures = pipe.decode(z_far, generator=generator).flatten(0, 1)
grid(pictures, columns=6, scale=1.5)
plt.show()
print(f"median surprisal {density.surprisal(z_far).median():.1f} nats")
assert density.surprisal(z_far).median() > rare["creative"].median()
''', alt="Two rows of six drawings that were steered too far.",
     name="fig-too-far", caption="Too far: no anchor, and a target far beyond the tail.")
code('''
if pipe.has_truth:
    left = int(oracle.judge(pictures, "pet").valid.sum())
    print(f"valid: {left} of 12, against {valid['creative']} of 12 above")
    assert left < valid["creative"]
''')
md('''
This is the problem that most of the book is about. To be rare is easy; to be rare *and still a pet*, and new in form instead of in colour, takes an
anchor, a dial, and a judge who was not in the game.

## Exercises

```{exercise} The same concept, another style
:label: exercise-first-style
The concept is a word that the model did not have before. Use it in another sentence, "a blueprint of a {}", and decode six pictures. What is kept?
```

```{solution-start} exercise-first-style
:class: dropdown
```
''')
code('''
told = result.concept.condition(pipe, "a blueprint of a {}")
z_blue = pipe.sample_prior(told, n=3, generator=generator)
blueprints = pipe.decode(z_blue, generator=generator).flatten(0, 1)
grid(blueprints, columns=6, scale=1.5)
plt.show()
''', alt="Two rows of six blueprints of pets, white lines on blue ground.")
md('''
Each concept keeps its build, three pictures for each of the four. The vector was found with one sentence and still means something in another.

```{solution-end}
```

```{exercise} The dial
:label: exercise-first-dial
`SteerConfig(dial=...)` sets the target: 0 is the median surprisal of usual embeddings, 1 their 99th percentile, and 1.3 is the default. Steer with `dial=0.5`. Where do the
embeddings end?
```

```{solution-start} exercise-first-dial
:class: dropdown
```
''')
code('''
mild = steer(pipe, "pet", density, SteerConfig(concepts=2, steps=30, dial=0.5), seed=0)
print(f"target {mild.aim.target:.1f} nats, reached {mild.surprisal.max():.1f}; "
      f"above: target {result.aim.target:.1f}, reached {result.surprisal.max():.1f}")
assert mild.surprisal.max() < result.surprisal.max()
''')
md('''
Between the median and the tail: still usual, a little odd. Steering stops as soon as it gets there.

```{solution-end}
```

```{exercise} Nats and percentiles
:label: exercise-first-nats
With pen and paper: an embedding has a surprisal 7 nats above another's. How many times less densely do usual embeddings lie around it? May we say that it is that many times less probable as
a *picture*?
```

```{solution} exercise-first-nats
:class: dropdown
$e^7 \\approx 1100$ times. No: it is a density of embeddings, fitted by us, not a probability of pictures. The density decides where steering goes; the Menagerie's
truth decides whether that was any good.
```

```{exercise} Another category
:label: exercise-first-category
Run the ten lines for "a photo of a plant", or let the command line do it:
`creativelib create "a photo of a plant" --out out/plant`. Look at `report.json`: what share of the creative plants is valid, what share new in form?
```

````{solution} exercise-first-category
:class: dropdown
Replace "pet" by "plant" in two places: the prompt and the word that is steered. In the report, `creative.valid` and
`creative.novel_in_form` are shares of the pictures; compare them with `typical.valid` and `typical.novel_in_form`, which tell what the judge says of usual
plants. In Python:

```python
from creativelib.create import create

creation = create("a photo of a plant", out="out/plant", count=16)
print(creation.report["creative"])
```
````

## Where to go from here

[The Menagerie](01-the-menagerie.ipynb) explains the world, its species and its truth. The parts after it take each box of the diagram in turn: the two stages, densities, steering,
other ways to be creative, and how to measure it all. Words that mean something special are in the [glossary](../book/glossary.md), the models in the
[model card](../book/model-card.md).
''')

nb = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}})
for i, cell in enumerate(nb.cells):
    cell["id"] = f"first-look-{i:02d}"
    if cell.cell_type == "code":
        for line in cell.source.splitlines():
            if len(line) > 88: print("LONG", line)
        if len(cell.source.splitlines()) > 16: print("TALL", len(cell.source.splitlines()), cell.source.splitlines()[0])

if __name__ == "__main__":
    tiny = "--tiny" in sys.argv
    if tiny:
        import conftest
        folder = Path(tempfile.mkdtemp())
        conftest.make_stack(folder)
        OUT = Path("nb00_tiny.ipynb")
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.source = re.sub(r"(?m)^(\s*)assert (?!torch.allclose)", r"\1_ = ", cell.source)
        nb.cells[1].source = nb.cells[1].source.replace('MODEL = "menagerie"', f'MODEL = "{folder}"')
    start = time.time()
    NotebookClient(nb, timeout=300, kernel_name="python3", record_timing=False, coalesce_streams=True,
                   resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    nbformat.validate(nb)
    nbformat.write(nb, OUT)
    print(f"{OUT}: {time.time() - start:.0f} s, {OUT.stat().st_size / 2**20:.2f} MiB")
    for cell in nb.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                if output.output_type == "stream": print(output.name, "|", output.text.rstrip())
