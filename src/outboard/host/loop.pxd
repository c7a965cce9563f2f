# No types: compiling the loop alone spares a part of every turn.
