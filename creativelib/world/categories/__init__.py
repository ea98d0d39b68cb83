"""The eight categories of the Menagerie, one file each.

Each file lists the factors and species of a category and paints any combination of the factors'
values with a `Canvas`. In the code that paints, `s` stands for the module `shapes`, `c` and other
single letters for canvases of some rows, `p` for points, `q` for folded or moved points, and `d`
for signed distances.
"""

from .building import BUILDING
from .fruit import FRUIT
from .furniture import FURNITURE
from .handbag import HANDBAG
from .instrument import INSTRUMENT
from .pet import PET
from .plant import PLANT
from .vehicle import VEHICLE

CATEGORIES = (PET, PLANT, FRUIT, FURNITURE, INSTRUMENT, VEHICLE, BUILDING, HANDBAG)
