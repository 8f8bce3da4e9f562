"""The built-in sample: made-up houses in the shape of Kaggle's House Prices, so that no network is needed.

The sample has the competition's columns, types, categories and missing values, but not its houses: these are
drawn from the coarse shares and medians below and priced by a formula with noise. A score on them shows that
the pipeline works, and nothing about Ames. The sample can never pass for the real thing: whoever serves it
says so, and no entry made from it may be uploaded.
"""

import re
from statistics import mode
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Column = NDArray[Any]

HEADER = """
Id MSSubClass MSZoning LotFrontage LotArea Street Alley LotShape LandContour Utilities LotConfig LandSlope
Neighborhood Condition1 Condition2 BldgType HouseStyle OverallQual OverallCond YearBuilt YearRemodAdd
RoofStyle RoofMatl Exterior1st Exterior2nd MasVnrType MasVnrArea ExterQual ExterCond Foundation BsmtQual
BsmtCond BsmtExposure BsmtFinType1 BsmtFinSF1 BsmtFinType2 BsmtFinSF2 BsmtUnfSF TotalBsmtSF Heating HeatingQC
CentralAir Electrical 1stFlrSF 2ndFlrSF LowQualFinSF GrLivArea BsmtFullBath BsmtHalfBath FullBath HalfBath
BedroomAbvGr KitchenAbvGr KitchenQual TotRmsAbvGrd Functional Fireplaces FireplaceQu GarageType GarageYrBlt
GarageFinish GarageCars GarageArea GarageQual GarageCond PavedDrive WoodDeckSF OpenPorchSF EnclosedPorch
3SsnPorch ScreenPorch PoolArea PoolQC Fence MiscFeature MiscVal MoSold YrSold SaleType SaleCondition SalePrice
"""
COLUMNS = tuple(HEADER.split())

# The columns that are dealt. After the name: what drives it (weights of traits and luck) | labels with shares
# in percent, the label of the lowest score first | what labels add to the log price. The shares of what only
# some houses have (a basement, a garage, a pool, a sale of an old house) are shares among those houses.
DEALT = """
MSZoning: density 1, luck .3 | C (all) 1, RM 16, RH 1, RL 77, FV 5 | C (all) -.25, FV .04
Street: luck 1 | Grvl .4, Pave 99.6;  Alley: luck 1 | Grvl 4, NA 93, Pave 3
LotShape: irregular 1 | Reg 63.5, IR1 33, IR2 3, IR3 .5;  Utilities: luck 1 | NoSeWa .03, AllPub 99.97
LotConfig: irregular .5, luck 1 | Inside 73, Corner 17.5, FR2 3, FR3 .5, CulDSac 6
LandContour: slope 1, luck .3 | Lvl 90, Bnk 4, Low 2, HLS 4;  LandSlope: slope 1 | Gtl 95, Mod 4.4, Sev .6
Condition1: quiet 1 | Artery 3, Feedr 5.5, RRAe 1, RRAn 1.7, RRNe .2, RRNn .3, Norm 86.3, PosN 1.3, PosA .7
  | Artery -.08, Feedr -.04, RRAe -.1, PosN .04, PosA .04
Condition2: quiet 1, luck .3 | Artery .2, Feedr .4, RRAe .03, RRAn .03, RRNn .07, Norm 99, PosN .13, PosA .14
OverallQual: quality 1 | 1 .14, 2 .5, 3 1.4, 4 7.7, 5 28, 6 25, 7 20.5, 8 12, 9 3.7, 10 1.06
OverallCond: upkeep 1 | 1 .25, 2 .35, 3 1.7, 4 3.5, 5 56.3, 6 18.2, 7 13.4, 8 4.9, 9 1.4
RoofStyle: quality .5, roof 1 | Gambrel .8, Mansard .4, Gable 79, Hip 18.9, Shed .2, Flat .7
RoofMatl: roof 1 | Roll .1, CompShg 98, Metal .03, Membran .03, WdShake .3, WdShngl .2, ClyTile .03, Tar&Grv 1
Exterior1st: newness 1, siding .5 | AsbShng 1.5, AsphShn .07, CBlock .07, BrkComm .2, Stucco 1.5, Wd Sdng 14,
  WdShing 2, BrkFace 3, MetalSd 15.5, Stone .07, HdBoard 15, Plywood 7.5, VinylSd 35, CemntBd 4.3, ImStucc .03
Exterior2nd: newness 1, siding .5, luck .03 | AsbShng 1.3, AsphShn .15, CBlock .1, Brk Cmn .7, Stucco 1.6,
  Wd Sdng 13.4, Wd Shng 2.8, BrkFace 1.6, MetalSd 15.4, Stone .2, HdBoard 14, Plywood 9.2, VinylSd 34.6,
  CmentBd 4.3, ImStucc .5, Other .03
MasVnrType: newness .6, quality .6, luck 1 | BrkCmn .9, None 60, BrkFace 30.5, Stone 8.6
ExterQual: newness .6, quality .6, luck .4 | Fa 1.2, TA 61.6, Gd 33.5, Ex 3.7 | Ex .04
ExterCond: upkeep .6, luck 1 | Po .1, Fa 2.3, TA 87, Gd 10.2, Ex .4
Foundation: basement 5, newness 1, luck .3 | Slab 1.7, Stone .4, BrkTil 10.6, CBlock 42.3, PConc 44.8, Wood .2
BsmtQual: newness 1, quality .5, luck .3 | Fa 3, TA 45.3, Gd 42.6, Ex 9.1 | Ex .05, NA -.05
BsmtCond: upkeep .3, luck 1 | Po .2, Fa 3.7, TA 91.8, Gd 4.3
BsmtExposure: slope .6, quality .5, luck 1 | No 67.1, Mn 8.4, Av 14.7, Gd 9.8 | Gd .05, Av .02
BsmtFinType1: newness 1, quality .3, luck .8 | LwQ 5.4, Rec 10.1, BLQ 9.5, Unf 30, ALQ 15.1, GLQ 29.9
BsmtFinType2: roomy 9, luck 1 | Unf 87.8, LwQ 3.1, Rec 3.7, BLQ 2.4, ALQ 1.8, GLQ 1.2
BsmtFullBath: finished 1, luck .4 | 0 57.3, 1 41.3, 2 1.3, 3 .1
BsmtHalfBath: finished 1, luck 1 | 0 94, 1 6, 2 .2;  KitchenAbvGr: shared 3, luck 1 | 0 .1, 1 95, 2 4.4, 3 .1
Heating: newness 1, luck .7 | Floor .03, OthW .07, Grav .3, Wall .2, GasW .9, GasA 98.5
HeatingQC: newness .6, quality .6, luck .8 | Po .1, Fa 3.1, TA 29.4, Gd 16.2, Ex 51.2
CentralAir: newness .6, quality .6, upkeep .2, luck .5 | N 6.7, Y 93.3 | N -.07
Electrical: newness 1, luck .5 | Mix .03, FuseP .3, FuseF 1.7, FuseA 6.5, SBrkr 91.5
FullBath: newness .7, size 1, luck .8 | 0 .4, 1 44.9, 2 52.4, 3 2.2, 4 .1
HalfBath: upstairs 1.3, newness .5, luck .6 | 0 62.8, 1 36.3, 2 .9
BedroomAbvGr: size 1, newness -.3, town_house -1.2, luck .9 | 0 .3, 1 3.5, 2 25, 3 55, 4 14, 5 1.6, 6 .7, 8 .1
KitchenQual: renewal .6, quality 1, luck .5 | Fa 2.4, TA 51.1, Gd 39.5, Ex 7 | Ex .06, Fa -.04
TotRmsAbvGrd: size 1, BedroomAbvGr .4 | 3 1, 4 7, 5 20, 6 29, 7 22, 8 12, 9 5, 10 3, 11 1, 12 .5, 14 .1
Functional: newness .4, luck 1 | Sev .07, Maj2 .3, Maj1 .6, Mod 1.2, Min2 2.4, Min1 2.3, Typ 93.1
  | Sev -.4, Maj2 -.2, Maj1 -.08, Mod -.07
Fireplaces: quality .4, size .5, luck .9 | 0 48.6, 1 43.4, 2 7.5, 3 .4, 4 .1
FireplaceQu: quality 1, luck 1 | Po 3, Fa 5, TA 39.5, Gd 49.6, Ex 2.9
GarageType: newness 1, luck .5 | CarPort .5, Detchd 28, 2Types .8, Basment 1.3, Attchd 62, BuiltIn 7
GarageFinish: newness 1, quality .5, luck .6 | Unf 44.6, RFn 29.4, Fin 26
GarageCars: newness .6, quality .6, size .5, luck .9 | 1 28, 2 57.8, 3 13.5, 4 .6, 5 .1
GarageQual: newness .5, luck 1 | Po .2, Fa 4.5, TA 94.3, Gd .9, Ex .1
GarageCond: newness .5, luck 1 | Po .5, Fa 2.7, TA 96.2, Gd .5, Ex .1
PavedDrive: newness 1, quality .3, luck .5 | N 7.4, P 2.1, Y 90.5
Fence: luck 1 | MnWw .4, MnPrv 11.3, NA 80.4, GdWo 3.9, GdPrv 4;  PoolQC: luck 1 | Fa 20, Gd 40, Ex 40
MiscFeature: luck 1 | NA 96.35, TenC .03, Othr .14, Shed 3.3, Gar2 .18
MoSold: luck 1 | 1 4, 2 4.5, 3 7.5, 4 9, 5 13, 6 17, 7 15, 8 9, 9 6, 10 6.5, 11 5.5, 12 4
YrSold: luck 1 | 2006 21, 2007 24, 2008 21, 2009 22, 2010 12
SaleType: oddity 1 | CWD .4, ConLD 1, ConLI .3, ConLw .3, WD 94.4, Con .1, Oth .3, COD 3.2
SaleCondition: oddity 1, luck .5 | Family 1.7, AdjLand .5, Normal 89.8, Alloca .9, Abnorml 7.1
  | Abnorml -.08, AdjLand -.08, Family -.03, Partial .04
"""

# What else is in the log price; the two products at the end are what a linear model cannot see
LOG_PRICE = (
    "premium 1, size .13, log_lot .09, OverallQual .07, OverallCond .03, newness .066, renewal .02, "
    "TotalBsmtSF .0001, BsmtFinSF1 .0001, GarageCars .04, Fireplaces .035, FullBath .03, BsmtFullBath .03, "
    "WoodDeckSF .0001, ScreenPorch .0001, giant -1.7, luck .09, quality_of_size .015, upkeep_of_age .001"
)

# Share in percent; of a typical house the year, its spread, OverallQual, LotArea in 1000 sq ft; share of
# town houses, others' share with two storeys, zone (0 C, 1 RM, 2 RL, 3 FV), premium on the log price
NEIGHBORHOODS = """
name share year spread typical_quality typical_lot towny storeys density premium
OldTown  8.2 1922 20 5.2  8.0    0 0.65 1 -0.03    IDOTRR   3.2 1925 16 4.7  8.0    0 0.55 0 -0.02
SWISU    1.7 1928 16 5.4  7.0    0 0.80 2     0    BrkSide  3.7 1930 11 5.1  6.0    0 0.60 1  0.05
Crawfor  3.5 1942 25 6.3 11.0 0.10 0.60 2  0.22    Edwards  6.6 1954 24 5.0  9.5 0.07 0.35 2 -0.03
NAmes   15.2 1959  9 5.3  9.5 0.01 0.15 2  0.01    Sawyer   5.2 1965 12 5.1  9.5    0 0.15 2     0
ClearCr  1.5 1967 18 6.0 16.0 0.07 0.45 2  0.12    BrDale   1.0 1972  1 5.7  1.7    1    1 1 -0.05
MeadowV  1.3 1972  2 4.4  1.9    1 0.70 1 -0.12    NWAmes   4.5 1976  7 6.3 11.0    0 0.40 2  0.03
NPkVill  0.8 1976  1 6.3  2.3    1 0.50 2 -0.02    Veenker  0.8 1979  7 7.2 14.5 0.20 0.30 2 -0.02
Blueste  0.3 1980  4 6.6  1.8    1 0.70 1 -0.12    Mitchel  3.9 1981 13 5.5 10.0 0.05 0.20 2 -0.05
SawyerW  4.3 1990 16 6.3  9.4 0.09 0.50 2 -0.01    NoRidge  2.4 1995  3 7.9 11.5    0 0.90 2  0.10
Gilbert  5.7 1999  8 6.5  9.7    0 0.85 2 -0.11    CollgCr  9.2 2001  8 6.7  9.7 0.05 0.40 2 -0.03
Timber   2.5 2001 12 7.2 12.0 0.03 0.30 2  0.04    StoneBr  1.8 2002  7 8.4  9.5 0.50 0.30 2 -0.02
Blmngtn  1.0 2005  2 7.1  3.2 0.90    0 2     0    NridgHt  5.6 2006  2 8.3 12.5 0.27 0.35 2  0.03
Somerst  6.2 2005  3 7.4  9.0 0.33 0.50 3 -0.05
"""

# The kinds of house that each era built, those with one floor first, with the shares in percent:
# MSSubClass/HouseStyle/BldgType/living area of a house of middling quality
ERAS = """
before 1946: 30/1Story/1Fam/1050 24, 45/1.5Unf/1Fam/950 2.5, 40/1Story/1Fam/1200 1, 190/1.5Fin/2fmCon/1600 7,
  50/1.5Fin/1Fam/1550 38, 70/2Story/1Fam/1650 23, 75/2.5Unf/1Fam/2000 3, 75/2.5Fin/1Fam/2100 1
1946 to 1985: 20/1Story/1Fam/1300 62, 85/SFoyer/1Fam/1100 4, 80/SLvl/1Fam/1370 8, 90/SFoyer/Duplex/1800 2,
  90/1Story/Duplex/1850 7, 190/2Story/2fmCon/1600 2, 50/1.5Fin/1Fam/1550 7, 60/2Story/1Fam/1750 8
after 1985: 20/1Story/1Fam/1300 43, 85/SFoyer/1Fam/1100 .6, 80/SLvl/1Fam/1370 4, 60/2Story/1Fam/1750 52
town house: 180/SFoyer/Twnhs/1150 2, 180/SLvl/Twnhs/1150 3, 160/2Story/Twnhs/1300 20,
  160/2Story/TwnhsE/1300 19, 150/1.5Fin/Twnhs/1400 .3, 120/1Story/Twnhs/1200 5, 120/1Story/TwnhsE/1200 51
"""
SECOND_FLOOR = "1.5Fin .55, 2Story .88, 2.5Unf .8, 2.5Fin 1"  # as a share of the first

# What nobody recorded: in which file and houses, the columns that lack it together, in how many rows
UNRECORDED = """
train any: Electrical 1, MasVnrType MasVnrArea 8
train basement: BsmtExposure 1, BsmtFinType2 1
test any: MSZoning 4, Utilities 2, Exterior1st Exterior2nd 1, MasVnrType MasVnrArea 15, MasVnrType 1,
  KitchenQual 1, Functional 2, SaleType 1
test basement: BsmtQual 2, BsmtCond 3, BsmtExposure 2
test no_basement: BsmtFullBath BsmtHalfBath 2, BsmtFinSF1 BsmtFinSF2 BsmtUnfSF TotalBsmtSF 1
test garage: GarageYrBlt GarageFinish GarageQual GarageCond 2, GarageCars GarageArea 1
"""


def sample_files(n_train: int = 1460, n_test: int = 1459, seed: int = 0) -> dict[str, str]:
    """Make the sample's three files; the same arguments always make the same bytes.

    Parameters
    ----------
    n_train, n_test : int
        Numbers of rows, at least 1. At the default numbers every label of the real files occurs in train or
        test; a far smaller sample lacks rare labels and rare missing values.
    seed : int
        Seed of NumPy's PCG64.

    Returns
    -------
    dict of str
        The CSV texts "train.csv", "test.csv" and "sample_submission.csv", with missing values written as NA.
        `Id` counts from 1 through train, then on through test.
    """
    if n_train < 1 or n_test < 1:
        raise ValueError(f"each file needs at least one row, got n_train={n_train}, n_test={n_test}")
    houses = _Houses(n_train, n_test, seed)
    for add in (_add_place, _add_years_and_lot, _add_building, _add_inside, _add_grounds, _add_sale):
        add(houses)
    _lose_unrecorded(houses)
    houses["guess"] = np.full(n_train + n_test, np.median(houses["SalePrice"][:n_train]))
    train, test = slice(n_train), slice(n_train, None)
    return {
        "train.csv": _csv_text(COLUMNS, [houses[name][train] for name in COLUMNS]),
        "test.csv": _csv_text(COLUMNS[:-1], [houses[name][test] for name in COLUMNS[:-1]]),
        "sample_submission.csv": _csv_text(("Id", "SalePrice"), [houses["Id"][test], houses["guess"][test]]),
    }


def _csv_text(header: tuple[str, ...], columns: list[_Column]) -> str:
    rows = zip(*(column.astype(str).tolist() for column in columns), strict=True)
    return "\n".join([",".join(header), *(",".join(row) for row in rows)]) + "\n"


def _table(text: str) -> dict[str, str]:
    """Read lines of "name: spec"; a semicolon separates two of them, an indented line goes on."""
    entries = re.split(r";\s+|\n(?! )", text.strip())
    return {name: " ".join(spec.split()) for name, spec in (entry.split(": ") for entry in entries)}


def _numbers(spec: str) -> dict[str, float]:
    """Read a spec such as "C (all) 1, RM 16": the last word of an entry is its number."""
    pairs = (entry.rsplit(" ", 1) for entry in spec.split(", "))
    return {name: float(number) for name, number in pairs}


def _whole(values: _Column) -> _Column:
    return np.round(values).astype(np.int64)


class _Houses(dict[str, _Column]):
    """The houses, one array a column, and the chance that makes them.

    Names in lower case are traits, which no file shows: "newness", "quality" and so on are around 0, with
    spread 1; "giant", "garage" and so on are masks. Labels are dealt by the rank of a score, not drawn one by
    one: shares come out exact, rare labels occur, and columns with common drivers go together.
    """

    def __init__(self, n_train: int, n_test: int, seed: int) -> None:
        super().__init__()
        self.n_train, self.n_rows = n_train, n_train + n_test
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self.table = _table(DEALT)
        self["Id"], self["any"] = np.arange(1, self.n_rows + 1), np.full(self.n_rows, True)

    def normal(self, spread: float = 1.0) -> _Column:
        return spread * self._generator.standard_normal(self.n_rows)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> _Column:
        return low + (high - low) * self._generator.random(self.n_rows)

    def score(self, drivers: str) -> _Column:
        """Add up traits by their weights, such as "newness 1, luck .5"."""
        terms = _numbers(drivers).items()
        parts = [self.normal(weight) if name == "luck" else weight * self[name] for name, weight in terms]
        return np.asarray(np.sum(parts, axis=0))

    def labels(self, spec: str, score: _Column, among: _Column) -> _Column:
        """Deal a spec's labels to the rows `among`, the first label to the lowest scores; NA to the rest."""
        shares = _numbers(spec)
        rows = np.flatnonzero(among)
        # rounded, for the last bits of a float differ between platforms and the ranks must not
        rows = rows[np.argsort(np.round(score[rows], 6), kind="stable")]
        counts = np.maximum(1, _whole(np.array(list(shares.values())) / sum(shares.values()) * len(rows)))
        while counts.sum() != len(rows):
            counts[np.argmax(counts)] += np.sign(len(rows) - counts.sum())
        dealt = np.full(self.n_rows, "NA", dtype="U24")
        dealt[rows] = np.repeat(list(shares), counts)
        return dealt

    def top(self, percent: float, drivers: str) -> _Column:
        """Choose a percentage of the rows, those of the highest score."""
        dealt = self.labels(f"no {100 - percent}, yes {percent}", self.score(drivers), self["any"])
        return np.asarray(dealt == "yes")

    def deal(self, names: str, among: str = "any") -> None:
        """Deal columns of `DEALT`. Rows that are not `among` get 0 in a number's column, NA in a text's."""
        for name in names.split():
            drivers, spec, *_ = self.table[name].split(" | ")
            dealt = self.labels(spec, self.score(drivers), self[among])
            is_text = re.search("[A-Z]", spec)
            self[name] = dealt if is_text else np.where(dealt == "NA", "0", dealt).astype(np.int64)

    def looked_up(self, spec: str, column: str) -> _Column:
        """Each house's number in a spec of numbers by label, 0 for labels that the spec lacks."""
        numbers = _numbers(spec)
        return np.array([numbers.get(label, 0.0) for label in self[column].tolist()])

    def area(self, has_it: _Column, median: float, spread: float) -> _Column:
        return np.where(has_it, _whole(median * np.exp(self.normal(spread))), 0)


def _add_place(houses: _Houses) -> None:
    """Neighbourhood with its numbers, zone, street."""
    names, *traits = np.array(NEIGHBORHOODS.split()).reshape(-1, 10).T.tolist()
    for trait, *values in traits:
        spec = ", ".join(f"{name} {value}" for name, value in zip(names[1:], values, strict=True))
        if trait == "share":
            houses["Neighborhood"] = houses.labels(spec, houses.normal(), houses["any"])
        else:
            houses[trait] = houses.looked_up(spec, "Neighborhood")
    houses["storeys"] += houses.normal(0.35)
    houses["uniform"] = houses.uniform()
    houses["town_house"] = houses.top(11.2, "towny 1, uniform -1")
    for luck in ("quiet", "slope", "roof", "siding", "oddity"):  # whatever makes two columns go together
        houses[luck] = houses.normal()
    houses.deal("MSZoning Street Alley Utilities Condition1 Condition2")
    # the outliers that the real data is known for: huge new houses, sold half-finished for little
    fit = (houses["Neighborhood"] == "Edwards") & ~houses["town_house"] & (houses["Id"] <= houses.n_train)
    houses["giant"] = fit & (np.cumsum(fit) <= round(2 * houses.n_train / 1460))


def _add_years_and_lot(houses: _Houses) -> None:
    """Years, quality and condition, lot."""
    houses.deal("YrSold MoSold")
    sold, giant = houses["YrSold"], houses["giant"]
    houses["MoSold"] -= np.where((sold == 2010) & (houses["MoSold"] > 7), 5, 0)  # the sales end in July 2010
    built = _whole(houses["year"] + houses["spread"] * houses.normal())
    built = np.clip(np.where(built > sold, 2 * sold - built, built), 1872, sold)
    houses["YearBuilt"] = built = np.where(giant, sold, built)
    houses["age"], houses["newness"] = sold - built, (built - 1971) / 30
    remodelled = houses.top(35, "newness -.3, luck 1")
    earliest = np.maximum(built, 1950)  # the real files, too, know of no remodelling before 1950
    years_since = _whole((sold - earliest) * houses.uniform() ** 2)
    houses["YearRemodAdd"] = np.where(remodelled, sold - years_since, earliest)
    houses["renewal"] = (houses["YearRemodAdd"] - 1984) / 20
    quality = houses["typical_quality"] + 0.01 * (built - houses["year"]) + houses.normal(0.85) + 6 * giant
    houses["quality"] = (quality - 6.1) / 1.4
    # a new house is a plain 5, which is a little below the middle; an old one is anything
    houses["upkeep"] = np.where(houses["age"] < 16, houses.normal(0.3) - 0.5, houses.normal())
    houses.deal("OverallQual OverallCond")
    typical = np.where(houses["town_house"], np.minimum(houses["typical_lot"], 4.5), houses["typical_lot"])
    vastness = houses.top(1, "luck 1") * houses.uniform(1, 2.5) + 1.5 * houses["giant"]
    lot = 1000 * typical * np.exp(0.08 * houses["quality"] + houses.normal(0.27) + vastness)
    houses["LotArea"] = _whole(np.clip(lot, 1300, 215_000))
    houses["log_lot"] = np.log(houses["LotArea"] / 9500)
    houses["irregular"] = houses["log_lot"] + 0.5 * houses["newness"] + houses.normal()
    houses.deal("LotShape LotConfig LandSlope LandContour")
    frontage = _whole(np.clip(0.72 * np.sqrt(lot) * np.exp(houses.normal(0.2)), 21, 313))
    houses["LotFrontage"] = np.where(houses.top(16.7, "irregular 1, luck 1"), "NA", frontage.astype(str))


def _add_building(houses: _Houses) -> None:
    """Kind of house, areas above ground, and the shell."""
    built, town_house, giant = houses["YearBuilt"], houses["town_house"], houses["giant"]
    old, recent = ~town_house & (built < 1946), ~town_house & (built > 1985)
    of_era = [old, ~(old | recent | town_house), recent, town_house]
    order = np.where(town_house, houses["newness"] + 0.3 * houses["quality"], houses["storeys"] + 9 * giant)
    specs = _table(ERAS).values()
    dealt = [houses.labels(spec, order, mask) for spec, mask in zip(specs, of_era, strict=True)]
    kinds = np.array([kind.split("/") for kind in np.select(of_era, dealt, "").tolist()])
    houses["MSSubClass"], houses["HouseStyle"], houses["BldgType"], typical_living = kinds.T
    houses["shared"] = np.isin(houses["BldgType"], ["Duplex", "2fmCon"])
    living = typical_living.astype(float) * np.exp(houses.score("quality .17, luck .19"))
    living = np.where(giant, houses.uniform(4600, 5600), np.clip(living, 334, 4500))
    upstairs = houses.looked_up(SECOND_FLOOR, "HouseStyle") * houses.uniform(0.8, 1.15)
    houses["1stFlrSF"] = _whole(living / (1 + upstairs))
    houses["2ndFlrSF"] = _whole(living * upstairs / (1 + upstairs))
    houses["LowQualFinSF"] = houses.area(houses.top(1.4, "newness -1, luck 1"), 250, 0.5)
    houses["GrLivArea"] = houses["1stFlrSF"] + houses["2ndFlrSF"] + houses["LowQualFinSF"]
    houses["size"], houses["upstairs"] = np.log(houses["GrLivArea"] / 1450) / 0.33, houses["2ndFlrSF"] > 0
    houses.deal("RoofStyle RoofMatl Exterior1st Exterior2nd MasVnrType ExterQual ExterCond")
    houses["MasVnrArea"] = houses.area(houses["MasVnrType"] != "None", 200, 0.65)


def _add_inside(houses: _Houses) -> None:
    """Basement, baths, rooms, fireplaces."""
    houses["no_basement"] = houses.top(2.75, "quality -1, luck .5")
    houses["basement"] = has_basement = ~houses["no_basement"]
    houses.deal("Foundation")
    houses.deal("BsmtQual BsmtCond BsmtExposure BsmtFinType1", among="basement")
    ratio = np.clip(0.95 + houses.normal(0.07), 0.3, 1.2)
    houses["TotalBsmtSF"] = total = _whole(has_basement * houses["1stFlrSF"] * ratio)
    is_finished = has_basement & (houses["BsmtFinType1"] != "Unf")
    houses["finished"] = np.where(is_finished, np.clip(0.6 + houses.normal(0.25), 0.05, 1), 0.0)
    houses["roomy"] = is_finished & (houses["finished"] < 0.8)  # enough for a second finish
    houses.deal("BsmtFinType2 BsmtFullBath BsmtHalfBath", among="basement")
    houses["BsmtFinSF1"] = first = _whole(houses["finished"] * total)
    second = _whole((total - first) * houses.uniform(0.2, 1))
    houses["BsmtFinSF2"] = second = np.where(np.isin(houses["BsmtFinType2"], ["Unf", "NA"]), 0, second)
    houses["BsmtUnfSF"] = total - first - second
    houses.deal("Heating HeatingQC CentralAir Electrical FullBath HalfBath BedroomAbvGr TotRmsAbvGrd")
    houses["TotRmsAbvGrd"] = np.maximum(houses["TotRmsAbvGrd"], houses["BedroomAbvGr"] + 1)
    houses.deal("KitchenAbvGr KitchenQual Functional Fireplaces")
    houses.deal("FireplaceQu", among="Fireplaces")


def _add_grounds(houses: _Houses) -> None:
    """Garage, decks, porches, pool, fence, shed."""
    houses["garage"] = ~houses.top(5.4, "newness -1, quality -1, luck 1")
    houses.deal("GarageType GarageFinish GarageCars GarageQual GarageCond", among="garage")
    later = houses.top(22, "newness -1, luck 1") * houses.uniform() * houses["age"]
    year = houses["YearBuilt"] + _whole(later)
    houses["GarageYrBlt"] = np.where(houses["garage"], year.astype(str), "NA")
    area = np.clip(30 + 250 * houses["GarageCars"] + houses.normal(60), 160, 1488)
    houses["GarageArea"] = _whole(houses["garage"] * area)
    houses["WoodDeckSF"] = houses.area(houses.top(48, "newness .5, quality .5, luck 1"), 165, 0.5)
    houses["OpenPorchSF"] = houses.area(houses.top(55.5, "newness .5, quality .5, luck .7"), 60, 0.75)
    houses["EnclosedPorch"] = houses.area(houses.top(16, "newness -1, luck .7"), 130, 0.5)
    houses["3SsnPorch"] = houses.area(houses.top(1.3, "luck 1"), 180, 0.4)
    houses["ScreenPorch"] = houses.area(houses.top(8.8, "luck 1"), 165, 0.4)
    houses["PoolArea"] = houses.area(houses.top(0.45, "size 1, luck 1"), 500, 0.3)
    houses.deal("PoolQC", among="PoolArea")
    houses.deal("PavedDrive Fence MiscFeature")
    houses["MiscVal"] = houses.area(houses["MiscFeature"] != "NA", 600, 0.8)  # dollars, as skewed as an area


def _add_sale(houses: _Houses) -> None:
    """Kind of sale (a new house is sold before it is finished) and price."""
    new = houses.top(8.3, "giant 9, age -1, luck .3")
    houses["used"] = ~new
    houses.deal("SaleType SaleCondition", among="used")
    houses["SaleType"][new], houses["SaleCondition"][new] = "New", "Partial"
    houses["quality_of_size"] = (houses["OverallQual"] - 6) * houses["size"]
    houses["upkeep_of_age"] = (houses["OverallCond"] - 5) * houses["age"]
    log_price = 11.105 + houses.score(LOG_PRICE)
    for name, row in houses.table.items():
        for effects in row.split(" | ")[2:]:
            log_price += houses.looked_up(effects, name)
    houses["SalePrice"] = 100 * _whole(np.exp(log_price) / 100)


def _lose_unrecorded(houses: _Houses) -> None:
    """Lose what nobody recorded, in rows whose labels are common, so that no rare label disappears."""
    for where, spec in _table(UNRECORDED).items():
        file, which = where.split()
        in_file = (houses["Id"] <= houses.n_train) == (file == "train")
        for names, count in _numbers(spec).items():
            eligible = in_file & houses[which]
            for name in names.split() if eligible.any() else ():
                eligible &= houses[name] == mode(houses[name][eligible].tolist())
            rows = np.argsort(np.where(eligible, houses.uniform(), 2), kind="stable")  # the eligible first
            lost = rows[: min(eligible.sum(), round(count * in_file.sum() / 1460))]
            for name in names.split():
                houses[name] = houses[name].astype("U16")
                houses[name][lost] = "NA"
