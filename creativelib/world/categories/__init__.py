"""The eight categories of the Menagerie, one file each."""

from .building import BUILDING
from .fruit import FRUIT
from .furniture import FURNITURE
from .handbag import HANDBAG
from .instrument import INSTRUMENT
from .pet import PET
from .plant import PLANT
from .vehicle import VEHICLE

CATEGORIES = (PET, PLANT, FRUIT, FURNITURE, INSTRUMENT, VEHICLE, BUILDING, HANDBAG)
