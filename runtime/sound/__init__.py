"""Sound to examples: WAV files read with care, one filter to resample by, one rule to cut by."""
