"""From an audio file to a log-mel spectrogram: settings, decoding, resampling, mel bands."""
