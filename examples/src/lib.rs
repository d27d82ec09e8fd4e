//! Examples of embedding; each is a program of its own in a folder beside this one.
