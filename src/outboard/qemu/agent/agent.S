# The agent: firmware of a pseries machine whose CPUs do one operation after the other, as a host program writes them
# into shared guest memory. No operating system, no stack, no memory of its own but the mailbox.
#
# Documents: Power ISA 3.0, Books I and III (encodings, interrupt vectors); LoPAPR (hypercalls, RTAS stop-self).
# Assembled big-endian by `powerpc64-linux-gnu-as -mpower9 -mbig`; agent.bin is the text section. Only relative branches:
# the image is loaded at 0. Entered at 0x100 in 32-bit real mode, on further CPUs at `secondary` in 64-bit mode.
#
# Registers that live through an operation, and the interrupt handlers:
#   r31 mailbox   r30 index of this CPU   r29 slot of the operation   r28 scratch of the handlers
#   r27 flags of the result   r26 MSR with EE   r25 MSR without EE   r24 count of operations done before this one

        .set MAILBOX, 0x4000    # the words that host and agent share; outboard.qemu.agent.mailbox has the same layout
        .set HEAD, 0x00         # operations that the host has written, 64 bits
        .set DONE, 0x08         # operations that are done, 64 bits
        .set READY, 0x10        # set when CPU 0 waits for operations, 64 bits
        .set TREE, 0x18         # address of the device tree that the machine was started with
        .set FAULT, 0x20        # vector of an interrupt that nobody expected, SRR0, SRR1, CPU: four times 64 bits
        .set RING, 0x100000
        .set SLOT_SHIFT, 8      # bytes of a slot
        .set SLOT_BITS, 12      # slots of the ring
        .set OP, 0x00           # in a slot: what to do, 32 bits
        .set CPU, 0x04          # who does it, 32 bits
        .set FLAGS, 0x08        # after: 1 the external input was up before, 2 it is up afterwards, 4 a machine check
        .set IN, 0x10           # R3 to R12 before, 64 bits each
        .set OUT, 0x60          # R3 to R12 after
        .set OPS, 12            # operations that there are
        .set LOOKS, 2000        # for operations, in one turn
        .set EE, 0x8000         # MSR: external interrupts are taken
        .set H_RTAS, 0xF000

        .text
origin:
        .org    0x100
# System reset: where the machine enters. 64-bit mode first, since the controller's addresses need it.
        mfmsr   4
        li      5, 1
        sldi    5, 5, 63
        or      4, 4, 5
        mtmsrd  4
        isync
        li      30, 0
        li      31, MAILBOX
        std     3, TREE(31)
        lis     4, 0x4F55       # READY := "OUTBOARD"
        ori     4, 4, 0x5442
        sldi    4, 4, 32
        oris    4, 4, 0x4F41
        ori     4, 4, 0x5244
        sync
        std     4, READY(31)
        b       prepare

# Machine check: from QEMU 9 on, what a load or store gets where nothing is. It is the operation's result; its value is 0.
        .org    0x200
        mfsrr0  28
        cmplwi  28, hcall - origin
        blt     1f
        cmplwi  28, stop - origin
        bge     1f
        ori     27, 27, 4
        li      28, 0
        std     28, OUT(29)
        li      28, finish - origin
        mtsrr0  28
        mtsrr1  25              # with ME, which the interrupt has taken away
        rfid
1:      li      28, 0x200
        b       fault

# Every other vector but external and decrementer: an interrupt that the program has no reason to get. Say so, and stop.
        .macro  unexpected vector
        .org    \vector
        li      28, \vector
        b       fault
        .endm
        unexpected 0x300
        unexpected 0x380
        unexpected 0x400
        unexpected 0x480

# External interrupt: taken where the program opens itself for a moment, so the input is up. Go on with EE off.
        .org    0x500
        mfsrr1  28
        rldicl  28, 28, 48, 1
        rotldi  28, 28, 16
        mtsrr1  28
        ori     27, 27, 4
        rfid

        unexpected 0x600
        unexpected 0x700
        unexpected 0x800

# Decrementer: nobody wants it. Wind it up for as long as it goes.
        .org    0x900
        lis     28, 0x7FFF
        ori     28, 28, 0xFFFF
        mtdec   28
        rfid

        unexpected 0x980
        unexpected 0xA00
        unexpected 0xC00
        unexpected 0xD00
        unexpected 0xE00
        unexpected 0xE20
        unexpected 0xE40
        unexpected 0xE60
        unexpected 0xE80
        unexpected 0xEA0
        unexpected 0xF00
        unexpected 0xF20
        unexpected 0xF40
        unexpected 0xF60
        unexpected 0xF80

        .org    0x1000
# Further CPUs start here, by RTAS start-cpu, with their index in R3.
secondary:
        mr      30, 3
        li      31, MAILBOX

# What the wait and the look at the input need: MSR with and without EE.
prepare:
        lis     4, 0x7FFF
        ori     4, 4, 0xFFFF
        mtdec   4
        mfmsr   25
        rldicl  25, 25, 48, 1
        rotldi  25, 25, 16
        ori     26, 25, EE

# Wait until the next operation is this CPU's. The hint gives the turn to the next CPU (QEMU leaves its loop there).
# While nobody has anything to do the turn is kept for a moment: between turns QEMU takes its big lock, so often that
# its monitor would hardly ever get it.
wait:
        ld      24, DONE(31)
        ld      5, HEAD(31)
        cmpld   24, 5
        bne     2f
        li      6, LOOKS
        mtctr   6
1:      ld      5, HEAD(31)
        cmpld   24, 5
        bne     2f
        bdnz    1b
        b       pause
2:
        rldic   29, 24, SLOT_SHIFT, 64 - SLOT_SHIFT - SLOT_BITS
        oris    29, 29, RING >> 16
        lwsync                  # the slot was written before HEAD, and read after it
        lwz     5, CPU(29)
        cmplw   5, 30
        beq     perform
pause:
        or      31, 31, 31
        b       wait

# Look at the input before, jump to the operation.
perform:
        li      27, 0
        mtmsrd  26, 1
        mtmsrd  25, 1
        srdi    27, 27, 2
        lwz     5, OP(29)
        cmplwi  5, OPS
        bge     finish
        bl      1f
1:      mflr    6
        addi    6, 6, table - 1b
        sldi    5, 5, 2
        add     6, 6, 5
        mtctr   6
        bctr
table:
        b       finish          # 0 nothing
        b       hcall           # 1
        b       load_1          # 2, R3: address
        b       load_2          # 3
        b       load_4          # 4
        b       load_8          # 5
        b       store_1         # 6, R3: address, R4: value
        b       store_2         # 7
        b       store_4         # 8
        b       store_8         # 9
        b       stop            # 10, R3: address of the cells
        b       cycles          # 11

# R3 opcode, R4 to R12 arguments; all of them as they are afterwards.
hcall:
        .irp    r, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
        ld      \r, IN + 8 * (\r - 3)(29)
        .endr
        sc      1
        .irp    r, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
        std     \r, OUT + 8 * (\r - 3)(29)
        .endr
        b       finish

# One load of 1, 2, 4 or 8 bytes; the value in R3.
        .macro  loads size, mnemonic
load_\size:
        ld      4, IN(29)
        \mnemonic 3, 0(4)
        std     3, OUT(29)
        b       finish
        .endm
        loads   1, lbz
        loads   2, lhz
        loads   4, lwz
        loads   8, ld

# One store of 1, 2, 4 or 8 bytes.
        .macro  stores size, mnemonic
store_\size:
        ld      4, IN(29)
        ld      3, IN + 8(29)
        \mnemonic 3, 0(4)
        b       finish
        .endm
        stores  1, stb
        stores  2, sth
        stores  4, stw
        stores  8, std

# RTAS stop-self with the cells at R3. It does not come back, so the operation counts as done before.
stop:
        ld      4, IN(29)
        addi    5, 24, 1
        sync
        std     5, DONE(31)
        li      3, 0
        ori     3, 3, H_RTAS
        sc      1
        b       wait

# R3 times a whole interrupt: trigger (R4: page), interrupt taken, acknowledge (R5: OS page of the TIMA, at 0x810), queue
# entry (R6: queue, R7: bytes - 1), EOI (R8: management page), CPPR ff (R5, at 0x11). R3: how many were as they should be.
cycles:
        ld      3, IN(29)
        ld      4, IN + 8(29)
        ld      5, IN + 16(29)
        ld      6, IN + 24(29)
        ld      7, IN + 32(29)
        ld      8, IN + 40(29)
        li      9, 0            # good ones
        li      10, 0           # place in the queue
        li      12, 0xFF
        mtctr   3
1:      std     10, 0(4)
        li      27, 0
        mtmsrd  26, 1
        mtmsrd  25, 1
        lhz     11, 0x810(5)
        rlwinm  11, 11, 17, 31, 31      # NSR's bit of the OS ring
        srdi    27, 27, 2
        and     27, 27, 11
        lwzx    11, 6, 10
        ld      3, 0(8)
        cmpwi   11, 0
        beq     2f
        add     9, 9, 27
2:      addi    10, 10, 4
        and     10, 10, 7
        stb     12, 0x11(5)
        bdnz    1b
        std     9, OUT(29)
        li      27, 0

# Look at the input afterwards, count the operation as done.
finish:
        mr      23, 27
        li      27, 0
        mtmsrd  26, 1
        mtmsrd  25, 1
        srdi    27, 27, 1
        or      27, 27, 23
        stw     27, FLAGS(29)
        addi    4, 24, 1
        lwsync                  # the result is there before the count is
        std     4, DONE(31)
        b       wait

# R28 has the vector. The registers that say where go to the mailbox, and this CPU is done for good.
fault:
        li      31, MAILBOX
        mfsrr0  4
        mfsrr1  5
        std     4, FAULT + 8(31)
        std     5, FAULT + 16(31)
        std     30, FAULT + 24(31)
        sync
        std     28, FAULT(31)
1:      or      31, 31, 31
        b       1b
        .balign 16
