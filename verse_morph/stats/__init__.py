"""Statistics of variants and measurements: tables in, tables out; every row with its n, what is missing, its method
and a plain sentence.
"""
