# Words of the test guest's shell.

# Width and height of the framebuffer console, `1280,800`; `none` without one.
screen_size() {
    cat /sys/class/graphics/fb0/virtual_size 2>/dev/null || echo none
}

# Text on the framebuffer console that stays as it is: no cursor, no kernel messages.
screen_text() {
    dmesg -n 1
    echo 0 >/sys/class/graphics/fbcon/cursor_blink
    {
        printf '\033[?25l\033[2J\033[H'
        echo "outboard test guest"
        echo "Linux $(uname -r) $(uname -m), screen $(screen_size)"
        echo
        for line in 1 2 3 4 5 6 7 8; do
            echo "$line The quick brown fox jumps over the lazy dog. 0123456789 !#%&()*+,-./:;<=>?@[]^_{|}~"
        done
        printf '\033[31mred \033[32mgreen \033[34mblue \033[33myellow \033[35mmagenta \033[36mcyan \033[0;7mreverse\033[0m\n'
    } >/dev/tty0
}

# The virtio device that is a GPU, `virtio0`.
gpu_device() {
    for device in /sys/bus/virtio/devices/*; do
        [ "$(cat "$device/device")" = 0x0010 ] && basename "$device"
    done
}

# Take the driver off the GPU: it writes status 0, the back-end sees a reset.
gpu_unbind() {
    gpu_device >/tmp.gpu
    echo "$(cat /tmp.gpu)" >/sys/bus/virtio/drivers/virtio_gpu/unbind
}

# Give the GPU to the driver again and write the text again.
gpu_bind() {
    echo "$(cat /tmp.gpu)" >/sys/bus/virtio/drivers/virtio_gpu/bind && screen_text
}

# serve TTY: run the lines that come in on a terminal, one at a time; what comes out is what they print.
serve() {
    exec <"$1" >"$1" 2>&1
    # here, where the terminal stays open: hvc0 forgets its settings when it is closed
    stty -echo
    echo "outboard-guest: ready $(uname -r) $(screen_size)"
    while IFS= read -r line; do
        eval "$line"
    done
}
