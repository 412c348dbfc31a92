"""`python -m archscope`."""

from archscope.cli import main

main()
