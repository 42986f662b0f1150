"""One script for each dataset, table and figure of the thesis; run from a checkout."""
