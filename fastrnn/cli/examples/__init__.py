"""``fastrnn examples``: published systems, each trained to its end point, one short file each.

`example` says what an example is, and `fastrnn.cli.run_example` runs one. `readout` is what those
share that are written with layers alone, `text` what the language models share.
"""
