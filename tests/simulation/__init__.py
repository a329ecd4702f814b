"""A simulation: many workers on one store, in simulated time, the same way for the same seed.

A seed makes a **history**: what each worker does and when (`workers`), what befalls each of its
calls (`store`), and what its clock says (`clocks`). The workers run the library unmodified, each in
a thread of its own, but one at a time: at each call of the store the `scheduler` decides who goes
on. The `model` sees each effect and each answer, and the `rules` say what must hold; each is a
promise of the documentation. A history that breaks one prints its seed, and `history.replay` gives
the same again, call by call.

    python -m simulation --seed 17            (with tests/ in PYTHONPATH)
"""
