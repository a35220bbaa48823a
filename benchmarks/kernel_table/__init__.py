"""The table of CUDA kernels in docs/kernels.md, and the counts behind it.

`make kernel-table` writes benchmarks/results/kernel-table.json and renders it into the document.
Nothing of it needs a GPU: what is counted is counted in machine code and on the emulator, what is
predicted is the planner's. The tests compare fresh counts with the committed file, so that a change
that adds instructions, registers, bank conflicts or bytes does not go unnoticed.

    fat_binary   a built extension -> its machine code by architecture
    sass         machine code -> what the main loop of each kernel is made of
    ptxas_log    the compiler's account -> registers, spills
    emulated     each kernel on the emulator -> wavefronts, conflicts, bytes of a stage
    predictions  the planner -> bound and time; which layers lose to a dense product
    document     all of that as one JSON document; what of it has changed for the worse
    render       the document -> Markdown, and the C++ table of issue slots
"""
