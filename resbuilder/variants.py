"""Names in settings and files: variants of a training, parts of a dataset, ways to fit images."""

#: The trainings of method thesis: with all regularizers; without them, from the weights of With
#: Reg; without them, from random weights.
VARIANTS = {"with_reg": "With Reg", "no_reg_wi": "No Reg WI", "no_reg_ri": "No Reg RI"}
WITH_REG, NO_REG_WI, NO_REG_RI = VARIANTS

#: The trainings of a race: the trial of each candidate; the cooldown of those that remain, with all
#: epochs that are left; the network that has these as its trunks, which is not trained further; and
#: the only training of a contender, with all epochs.
RACE_VARIANTS = {
    "trial": "Trial",
    "cooldown": "Cooldown",
    "combined": "Combined",
    "whole": "All epochs",
}
TRIAL, COOLDOWN, COMBINED, WHOLE = RACE_VARIANTS
#: The variants whose networks can be the result of a search.
FINAL = (NO_REG_WI, NO_REG_RI, COMBINED, WHOLE)

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = PARTS

#: How an image is resized to another shape, see :class:`resbuilder.datasets.ImageReading`.
FITS = ("stretch", "crop", "letterbox")
