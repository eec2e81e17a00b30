"""Work over many photos: export, faithfulness, statistics. No argparse and no Qt: command line and window both use it.

`subjects` are the photos with the class each is asked for, `scores_table` keeps what was computed so that an interrupted
evaluation can be continued, `scores_summary` sums it up.
"""
