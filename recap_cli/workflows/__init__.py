"""One file per verb: options in, result out."""
