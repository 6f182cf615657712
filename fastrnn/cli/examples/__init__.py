"""``fastrnn examples``: published systems, each trained to its end point, one short file each.

They use nothing but what any user of the package has; `readout` is the little that two of them
share. `example` says what an example is, and `fastrnn.cli.run_example` runs one.
"""
