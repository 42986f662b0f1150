"""Names that stand in journals and file names: kinds of trainings, the parts of the data."""

#: The thesis': with all regularization terms; without, from the With-Reg weights; without, from
#: random weights.
VARIANTS = {"with_reg": "With Reg", "no_reg_wi": "No Reg WI", "no_reg_ri": "No Reg RI"}
WITH_REG, NO_REG_WI, NO_REG_RI = VARIANTS

#: A race's: its rungs; what its winner does with all epochs that are left; a contender's only one.
RACE_VARIANTS = {
    "rung_1": "Rung 1",
    "rung_2": "Rung 2",
    "cooldown": "Cooldown",
    "whole": "All epochs",
}
*RUNGS, COOLDOWN, WHOLE = RACE_VARIANTS
#: Those whose networks may be the result of a search.
FINAL = (NO_REG_WI, NO_REG_RI, COOLDOWN, WHOLE)

PARTS = ("train", "validation", "test")
