"""Lock files: the versions that a build was made of, so that it can be made again."""
