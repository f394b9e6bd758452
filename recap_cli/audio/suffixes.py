"""The suffixes of audio files, by who decodes them; a folder of songs is read with the same table."""

# libsndfile, which comes with the package soundfile.
NATIVE_SUFFIXES = frozenset(
    (
        *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".mp1", ".mpga"),
        *(".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".voc", ".8svx", ".svx", ".ircam", ".nist", ".sph"),
    )
)
# ffmpeg, where it is installed. Of containers of films, those that music videos are passed on in: their sound counts.
FFMPEG_SUFFIXES = frozenset(
    (
        *(".m4a", ".m4b", ".m4p", ".m4r", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".3ga", ".aac", ".adts", ".alac"),
        *(".wma", ".asf", ".wmv", ".xwma", ".mka", ".mkv", ".webm", ".weba", ".ogv", ".ogx", ".spx", ".avi", ".flv"),
        *(".wv", ".ape", ".apl", ".mpc", ".mpp", ".mp+", ".tta", ".tak", ".shn", ".dsf", ".dff", ".f4a", ".f4b"),
        *(".ac3", ".eac3", ".ec3", ".dts", ".mlp", ".thd", ".truehd", ".amr", ".awb", ".gsm", ".qcp"),
        *(".ra", ".rm", ".oma", ".aa3", ".at3", ".vqf"),
    )
)
AUDIO_SUFFIXES = NATIVE_SUFFIXES | FFMPEG_SUFFIXES
