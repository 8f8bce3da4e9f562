"""The built-in sample: the same bytes every time, and made like the real files."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from houseprice.data.sample import COLUMNS, sample_files

REAL_FILES = Path(__file__).resolve().parents[2] / "shared" / "house-prices"

# Written out, not taken from the module's own tables: what the competition's data description says can occur.
LABELS_OF_COLUMN = """
MSZoning: C (all), FV, RH, RL, RM
Street: Grvl, Pave
Alley: Grvl, Pave
LotShape: IR1, IR2, IR3, Reg
LandContour: Bnk, HLS, Low, Lvl
Utilities: AllPub, NoSeWa
LotConfig: Corner, CulDSac, FR2, FR3, Inside
LandSlope: Gtl, Mod, Sev
Neighborhood: Blmngtn, Blueste, BrDale, BrkSide, ClearCr, CollgCr, Crawfor, Edwards, Gilbert, IDOTRR,
  MeadowV, Mitchel, NAmes, NPkVill, NWAmes, NoRidge, NridgHt, OldTown, SWISU, Sawyer, SawyerW, Somerst,
  StoneBr, Timber, Veenker
Condition1: Artery, Feedr, Norm, PosA, PosN, RRAe, RRAn, RRNe, RRNn
Condition2: Artery, Feedr, Norm, PosA, PosN, RRAe, RRAn, RRNn
BldgType: 1Fam, 2fmCon, Duplex, Twnhs, TwnhsE
HouseStyle: 1.5Fin, 1.5Unf, 1Story, 2.5Fin, 2.5Unf, 2Story, SFoyer, SLvl
RoofStyle: Flat, Gable, Gambrel, Hip, Mansard, Shed
RoofMatl: ClyTile, CompShg, Membran, Metal, Roll, Tar&Grv, WdShake, WdShngl
Exterior1st: AsbShng, AsphShn, BrkComm, BrkFace, CBlock, CemntBd, HdBoard, ImStucc, MetalSd, Plywood, Stone,
  Stucco, VinylSd, Wd Sdng, WdShing
Exterior2nd: AsbShng, AsphShn, Brk Cmn, BrkFace, CBlock, CmentBd, HdBoard, ImStucc, MetalSd, Other, Plywood,
  Stone, Stucco, VinylSd, Wd Sdng, Wd Shng
MasVnrType: BrkCmn, BrkFace, None, Stone
ExterQual: Ex, Fa, Gd, TA
ExterCond: Ex, Fa, Gd, Po, TA
Foundation: BrkTil, CBlock, PConc, Slab, Stone, Wood
BsmtQual: Ex, Fa, Gd, TA
BsmtCond: Fa, Gd, Po, TA
BsmtExposure: Av, Gd, Mn, No
BsmtFinType1: ALQ, BLQ, GLQ, LwQ, Rec, Unf
BsmtFinType2: ALQ, BLQ, GLQ, LwQ, Rec, Unf
Heating: Floor, GasA, GasW, Grav, OthW, Wall
HeatingQC: Ex, Fa, Gd, Po, TA
CentralAir: N, Y
Electrical: FuseA, FuseF, FuseP, Mix, SBrkr
KitchenQual: Ex, Fa, Gd, TA
Functional: Maj1, Maj2, Min1, Min2, Mod, Sev, Typ
FireplaceQu: Ex, Fa, Gd, Po, TA
GarageType: 2Types, Attchd, Basment, BuiltIn, CarPort, Detchd
GarageFinish: Fin, RFn, Unf
GarageQual: Ex, Fa, Gd, Po, TA
GarageCond: Ex, Fa, Gd, Po, TA
PavedDrive: N, P, Y
PoolQC: Ex, Fa, Gd
Fence: GdPrv, GdWo, MnPrv, MnWw
MiscFeature: Gar2, Othr, Shed, TenC
SaleType: COD, CWD, Con, ConLD, ConLI, ConLw, New, Oth, WD
SaleCondition: Abnorml, AdjLand, Alloca, Family, Normal, Partial
"""

BASEMENT_TEXTS = ["BsmtQual", "BsmtCond", "BsmtExposure", "BsmtFinType1", "BsmtFinType2"]
BASEMENT_NUMBERS = ["BsmtFinSF1", "BsmtFinSF2", "BsmtUnfSF", "TotalBsmtSF", "BsmtFullBath", "BsmtHalfBath"]
GARAGE_TEXTS = ["GarageType", "GarageFinish", "GarageQual", "GarageCond"]


def labels_of_column() -> dict[str, set[str]]:
    lines = LABELS_OF_COLUMN.replace("\n  ", " ").strip().splitlines()
    pairs = (line.split(": ") for line in lines)
    return {column: set(labels.split(", ")) for column, labels in pairs}


def read(text: str) -> pd.DataFrame:
    # "None" is a label of MasVnrType, only NA is missing
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=["NA"])


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return sample_files()


@pytest.fixture(scope="module")
def train(files: dict[str, str]) -> pd.DataFrame:
    return read(files["train.csv"])


@pytest.fixture(scope="module")
def unpriced(files: dict[str, str]) -> pd.DataFrame:
    return read(files["test.csv"])


@pytest.fixture(scope="module")
def houses(train: pd.DataFrame, unpriced: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([train, unpriced], ignore_index=True)


def real(name: str) -> pd.DataFrame:
    if not REAL_FILES.is_dir():
        pytest.skip(f"the real files are not here: no folder {REAL_FILES}")
    return read((REAL_FILES / name).read_text(encoding="utf-8"))


def test_the_same_arguments_make_the_same_bytes(files: dict[str, str]) -> None:
    assert sample_files() == files
    assert sample_files(seed=0) == files


def test_another_seed_makes_other_houses(files: dict[str, str]) -> None:
    other = sample_files(seed=1)
    assert other["train.csv"] != files["train.csv"]
    assert other["test.csv"] != files["test.csv"]


def test_a_call_leaves_the_global_generator_alone() -> None:
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    sample_files(20, 10)
    assert np.random.random() == expected


def test_shapes_columns_and_ids(train: pd.DataFrame, unpriced: pd.DataFrame) -> None:
    assert train.shape == (1460, 81)
    assert unpriced.shape == (1459, 80)
    assert list(train) == list(COLUMNS)
    assert list(unpriced) == list(COLUMNS[:-1])
    assert COLUMNS[0] == "Id"
    assert COLUMNS[-1] == "SalePrice"
    assert train["Id"].tolist() == list(range(1, 1461))
    assert unpriced["Id"].tolist() == list(range(1461, 2920))


def test_the_sample_submission_has_the_ids_of_test_and_a_naive_price(files: dict[str, str]) -> None:
    submission, train = read(files["sample_submission.csv"]), read(files["train.csv"])
    assert list(submission) == ["Id", "SalePrice"]
    assert submission["Id"].tolist() == list(range(1461, 2920))
    assert submission["SalePrice"].between(*train["SalePrice"].quantile([0.4, 0.6])).all()


def test_files_end_in_one_newline_and_have_no_quotes_or_blank_cells(files: dict[str, str]) -> None:
    for text in files.values():
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert '"' not in text
        assert ",," not in text
        assert "\r" not in text


@pytest.mark.parametrize("seed", range(3))
def test_every_label_occurs_and_no_other(seed: int) -> None:
    files = sample_files(seed=seed)
    houses = pd.concat([read(files["train.csv"]), read(files["test.csv"])])
    text_columns = houses.select_dtypes(exclude="number")
    assert {column: set(text_columns[column].dropna()) for column in text_columns} == labels_of_column()


def test_numbers_are_printed_as_whole_numbers(files: dict[str, str]) -> None:
    for name in ("train.csv", "test.csv"):
        cells = pd.read_csv(io.StringIO(files[name]), dtype=str, keep_default_na=False)
        numbers = cells.drop(columns=list(labels_of_column()))
        assert numbers.apply(lambda column: column.str.fullmatch(r"\d+|NA").all()).all()


def test_prices_are_plausible(train: pd.DataFrame) -> None:
    prices = train["SalePrice"]
    assert prices.between(20_000, 1_200_000).all()
    assert 155_000 < prices.median() < 172_000
    assert 0.36 < np.log(prices).std() < 0.44
    assert np.log(prices).corr(train["OverallQual"]) > 0.7
    assert np.log(prices).corr(np.log(train["GrLivArea"])) > 0.6


def test_two_huge_unfinished_houses_went_for_little(train: pd.DataFrame) -> None:
    giants = train[train["GrLivArea"] > 4550]
    assert len(giants) == 2
    assert (giants["SaleCondition"] == "Partial").all()
    assert (giants["SalePrice"] < train["SalePrice"].quantile(0.9)).all()


def test_areas_add_up(houses: pd.DataFrame) -> None:
    floors = houses[["1stFlrSF", "2ndFlrSF", "LowQualFinSF"]].sum(axis="columns")
    assert (houses["GrLivArea"] == floors).all()
    known = houses[houses["TotalBsmtSF"].notna()]
    parts = known[["BsmtFinSF1", "BsmtFinSF2", "BsmtUnfSF"]].sum(axis="columns")
    assert (known["TotalBsmtSF"] == parts).all()
    areas = houses.filter(regex="SF|Area|Porch")
    assert (areas.isna() | (areas >= 0)).all(axis=None)


def test_years_follow_each_other(houses: pd.DataFrame) -> None:
    assert (houses["YearBuilt"] <= houses["YearRemodAdd"]).all()
    assert (houses["YearRemodAdd"] <= houses["YrSold"]).all()
    garage = houses[houses["GarageYrBlt"].notna()]
    assert garage["GarageYrBlt"].between(garage["YearBuilt"], garage["YrSold"]).all()
    assert houses["YrSold"].between(2006, 2010).all()
    assert houses["MoSold"].between(1, 12).all()


def test_a_house_without_a_basement_has_nothing_of_one(houses: pd.DataFrame) -> None:
    without = houses[houses[BASEMENT_TEXTS].isna().all(axis="columns")]
    assert 40 < len(without) < 120
    assert (without[BASEMENT_NUMBERS].fillna(0) == 0).all(axis=None)
    with_one = houses.drop(index=without.index)
    assert (with_one["TotalBsmtSF"] > 0).all()
    assert with_one[BASEMENT_TEXTS].isna().sum().sum() == 9  # what nobody recorded


def test_a_house_without_a_garage_has_nothing_of_one(houses: pd.DataFrame) -> None:
    without = houses[houses["GarageType"].isna()]
    assert 100 < len(without) < 220
    assert without[[*GARAGE_TEXTS, "GarageYrBlt"]].isna().all(axis=None)
    assert (without[["GarageCars", "GarageArea"]] == 0).all(axis=None)
    with_one = houses.drop(index=without.index)
    assert (with_one[["GarageCars", "GarageArea"]].dropna() > 0).all(axis=None)
    assert with_one["GarageFinish"].isna().sum() == 2  # what nobody recorded


@pytest.mark.parametrize(
    ("text", "number"), [("PoolQC", "PoolArea"), ("FireplaceQu", "Fireplaces"), ("MiscFeature", "MiscVal")]
)
def test_a_label_is_missing_exactly_where_there_is_nothing(
    houses: pd.DataFrame,
    text: str,
    number: str,
) -> None:
    assert (houses[text].isna() == (houses[number] == 0)).all()


def test_masonry_is_missing_together_with_its_area(train: pd.DataFrame, unpriced: pd.DataFrame) -> None:
    assert train["MasVnrType"].isna().sum() == train["MasVnrArea"].isna().sum() == 8
    assert unpriced["MasVnrArea"].isna().sum() == 15
    for houses in (train, unpriced):
        assert houses.loc[houses["MasVnrArea"].isna(), "MasVnrType"].isna().all()
        assert (houses.loc[houses["MasVnrType"] == "None", "MasVnrArea"] == 0).all()


def test_the_kind_of_house_agrees_with_its_year_and_floors(houses: pd.DataFrame) -> None:
    assert (houses.loc[houses["MSSubClass"].isin([30, 70]), "YearBuilt"] <= 1945).all()
    assert (houses.loc[houses["MSSubClass"].isin([20, 60]), "YearBuilt"] >= 1946).all()
    assert (houses.loc[houses["HouseStyle"] == "1Story", "2ndFlrSF"] == 0).all()
    assert (houses.loc[houses["HouseStyle"] == "2Story", "2ndFlrSF"] > 0).all()
    assert ((houses["BldgType"] == "Duplex") == (houses["MSSubClass"] == 90)).all()


@pytest.mark.parametrize(("n_train", "n_test"), [(1, 1), (7, 3), (60, 40), (400, 200)])
def test_small_samples(n_train: int, n_test: int) -> None:
    files = sample_files(n_train, n_test)
    train, test = read(files["train.csv"]), read(files["test.csv"])
    assert train.shape == (n_train, 81)
    assert test.shape == (n_test, 80)
    assert train["Id"].tolist() + test["Id"].tolist() == list(range(1, n_train + n_test + 1))
    assert (train["SalePrice"] > 0).all()


@pytest.mark.parametrize(("n_train", "n_test"), [(0, 10), (10, 0), (-1, 5)])
def test_a_file_without_rows_is_refused(n_train: int, n_test: int) -> None:
    with pytest.raises(ValueError, match=rf"at least one row, got n_train={n_train}, n_test={n_test}"):
        sample_files(n_train, n_test)


@pytest.mark.parametrize("name", ["train.csv", "test.csv", "sample_submission.csv"])
def test_headers_and_ids_are_those_of_the_real_files(files: dict[str, str], name: str) -> None:
    ours, theirs = read(files[name]), real(name)
    assert list(ours) == list(theirs)
    assert ours["Id"].tolist() == theirs["Id"].tolist()


@pytest.mark.parametrize("name", ["train.csv", "test.csv"])
def test_types_and_missing_shares_are_those_of_the_real_files(files: dict[str, str], name: str) -> None:
    ours, theirs = read(files[name]), real(name)
    assert ours.dtypes.to_dict() == theirs.dtypes.to_dict()
    difference = (ours.isna().mean() - theirs.isna().mean()).abs()
    assert difference.max() < 0.03
    # which columns are complete is a matter of code paths, not of shares
    assert (ours.isna().any() == theirs.isna().any()).all()


def test_labels_and_their_shares_are_those_of_the_real_files(houses: pd.DataFrame) -> None:
    theirs = pd.concat([real("train.csv"), real("test.csv")], ignore_index=True)
    for column in theirs.select_dtypes(exclude="number"):
        labels = (frame[column].fillna("NA") for frame in (houses, theirs))
        shares = pd.concat([label.value_counts(normalize=True) for label in labels], axis="columns")
        assert shares.notna().all(axis=None), f"{column}: not the same labels"
        assert (shares.iloc[:, 0] - shares.iloc[:, 1]).abs().max() < 0.02, f"{column}: other shares"
    assert set(houses["MSSubClass"]) == set(theirs["MSSubClass"])


def test_numbers_are_of_the_size_of_the_real_ones(houses: pd.DataFrame) -> None:
    theirs = pd.concat([real("train.csv"), real("test.csv")], ignore_index=True)
    columns = ["LotFrontage", "LotArea", "YearBuilt", "GrLivArea", "TotalBsmtSF", "1stFlrSF", "GarageArea"]
    ratio = houses[[*columns, "SalePrice"]].median() / theirs[[*columns, "SalePrice"]].median()
    assert ratio.between(0.85, 1.15).all(), ratio.to_dict()


def test_no_house_is_of_the_real_files(houses: pd.DataFrame) -> None:
    theirs = pd.concat([real("train.csv"), real("test.csv")], ignore_index=True)
    sizes = ["LotArea", "GrLivArea", "TotalBsmtSF", "YearBuilt"]
    assert houses[sizes].merge(theirs[sizes].drop_duplicates()).empty
