outboard xive vectors --flavour papr tests/vectors/xive/msi_claim.json.gz
