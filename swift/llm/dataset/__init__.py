"""Data sets: from what the user names to token ids. Knows neither the model nor the trainer.

    spec.py -> source.py -> read.py -> convert.py -> store.py -> mix.py -> load.py
    words      files        raw rows   standard rows cached      order     data sets
"""
