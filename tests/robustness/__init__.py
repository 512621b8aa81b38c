"""Studies of robustness, a command each (`python -m tests.robustness.NAME`; bench/README.md lists them), and the tests'
tools for them: hostile input, kills, full disks, flipped bits, mutants, a browser, the commands of the guide."""
