"""Names that stand in journals and file names: the three trainings, the parts of the data."""

#: With all regularization terms; without, from the With-Reg weights; without, from random weights.
VARIANTS = {"with_reg": "With Reg", "no_reg_wi": "No Reg WI", "no_reg_ri": "No Reg RI"}
WITH_REG, NO_REG_WI, NO_REG_RI = VARIANTS

PARTS = ("train", "validation", "test")
