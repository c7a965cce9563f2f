"""Boot a kernel in QEMU 8.0 or newer and keep its console: python vm.py VMLINUZ INITRD"""

import subprocess
import sys

import outboard

kernel, initrd = sys.argv[1:]
APPEND = "console=tty0 vt.global_cursor_default=0"  # no blinking cursor, or the screen is never idle
QEMU = (
    "qemu-system-x86_64 -M q35,accel=tcg,memory-backend=mem0 -cpu max -m 512M "
    "-object memory-backend-memfd,id=mem0,size=512M,share=on -nodefaults -vga none "
    "-chardev socket,id=vgpu,path=gpu.sock -device vhost-user-gpu-pci,chardev=vgpu "
    "-display none"
)

with outboard.gpu.serve("gpu.sock", sizes=[(1024, 768)]) as gpu:
    with subprocess.Popen([*QEMU.split(), "-kernel", kernel, "-initrd", initrd, "-append", APPEND]) as vm:
        try:
            picture = gpu.screens[0].wait_idle(quiet=2, timeout=120)
            gpu.screens[0].save("vm.png")
        finally:
            vm.terminate()
    print(f"{picture.width}x{picture.height} after {picture.serial} changes, written to vm.png")
