"""Programs and their parts. A program has `add_arguments(parser)`, which declares its options and explains its exit codes, and
`main(args)`, which runs it and returns one of these. Layer: programs.
"""
