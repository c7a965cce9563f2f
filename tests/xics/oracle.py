"""XICS a second time: small, slow, in dictionaries. The tests' oracle.

Written from the tables of operations; nothing of the package is imported, so that the two have no mistake in common.
A source that waits has its reasons as words, a server what it shows as a record. It has few sources, so that all can
be looked at after each step.
"""

FIRST, LAST = 0x1000, 0x101F
REFUSED = "refused"


def fresh_source():
    return {"server": 0, "prio": 0xFF, "saved": 0xFF, "kind": None, "is": set()}


class Oracle:
    def __init__(self, ids, plugged, claims):
        self.ids, self.servers, self.sources = ids, {}, {number: fresh_source() for number in range(FIRST, LAST + 1)}
        self.order, self.lines, self.negotiated, self.memory = [], dict.fromkeys(range(len(ids)), 0), False, {}
        for cpu in plugged:
            self.plug(cpu)
        for number, is_lsi in claims:
            self.claim(number, is_lsi)

    # Servers: cppr, mfrr, shown (number, priority, whose) or None; `ghost` is whose it was when a reset came

    def plug(self, cpu):
        if not 0 <= cpu < len(self.ids) or cpu in self.order:
            return REFUSED
        self.order.append(cpu)
        self.servers[self.ids[cpu]] = {"cpu": cpu, "cppr": 0, "mfrr": 0xFF, "shown": None, "ghost": False}
        self.lines[cpu] = 0

    def unplug(self, cpu):
        if cpu not in self.order:
            return REFUSED
        self.order.remove(cpu)
        del self.servers[self.ids[cpu]]
        self.lines[cpu] = 0

    def server_of(self, cpu):
        return self.servers[self.ids[cpu]]

    def show(self, server, number, priority, source):
        if server["shown"] and server["shown"][2]:
            self.send_back(server["shown"][0])
        server["shown"], server["ghost"] = (number, priority, source), source
        self.lines[server["cpu"]] = 1

    def favours(self, server):
        """The priority that something must be more favoured than."""
        return min(server["cppr"], server["shown"][1] if server["shown"] else 0xFF)

    def ask_for_ipi(self, server):
        if server["mfrr"] < server["cppr"] and (not server["shown"] or server["mfrr"] < server["shown"][1]):
            self.show(server, 2, server["mfrr"], False)

    def go_on(self, server):
        if server["shown"] is None:
            self.ask_for_ipi(server)
            for number in range(FIRST, LAST + 1):
                self.send_again(number)

    def cppr(self, cpu, value):
        server = self.server_of(cpu)
        old, server["cppr"] = server["cppr"], value
        if value >= old:
            self.go_on(server)
        elif server["shown"] and value <= server["shown"][1]:
            (number, _, source), server["shown"], server["ghost"] = server["shown"], None, False
            self.lines[cpu] = 0
            if source:
                self.send_back(number)

    def accept(self, cpu):
        server = self.server_of(cpu)
        number, priority, _ = server["shown"] or (0, 0xFF, False)
        result = server["cppr"] << 24 | number
        server.update(cppr=priority, shown=None, ghost=False)
        self.lines[cpu] = 0
        return result

    def end(self, cpu, xirr):
        server, number = self.server_of(cpu), xirr % (1 << 24)
        server["cppr"] = xirr >> 24
        if FIRST <= number <= LAST and self.sources[number]["kind"] == "LSI":
            self.sources[number]["is"].discard("sent")
        self.go_on(server)

    # Sources

    def deliver(self, number):
        source = self.sources[number]
        server = self.servers.get(source["server"])
        if server and source["prio"] < self.favours(server):
            self.show(server, number, source["prio"], True)
        else:
            self.send_back(number)

    def send_back(self, number):
        source = self.sources[number]
        if source["kind"] == "MSI":
            source["is"].add("rejected")
        elif source["kind"] == "LSI":
            source["is"].discard("sent")

    def send_again(self, number):
        source = self.sources[number]
        if source["kind"] == "LSI":
            if source["prio"] != 0xFF and "up" in source["is"] and "sent" not in source["is"]:
                source["is"].add("sent")
                self.deliver(number)
        elif "rejected" in source["is"]:
            source["is"].remove("rejected")
            if source["prio"] != 0xFF:
                self.deliver(number)

    def set_irq(self, number, level):
        if not FIRST <= number <= LAST:
            return REFUSED
        source = self.sources[number]
        if source["kind"] == "LSI":
            source["is"] = source["is"] | {"up"} if level else source["is"] - {"up"}
            self.send_again(number)
        elif level and source["prio"] == 0xFF:
            source["is"].add("masked pending")
        elif level:
            self.deliver(number)

    def route(self, number, server, prio, saved):
        source = self.sources[number]
        source.update(server=server, prio=prio, saved=saved)
        if source["kind"] == "LSI":
            self.send_again(number)
        elif prio != 0xFF and "masked pending" in source["is"]:
            source["is"].remove("masked pending")
            self.deliver(number)

    def claim(self, number, is_lsi):
        if not FIRST <= number <= LAST or self.sources[number]["kind"]:
            return REFUSED
        self.sources[number]["kind"] = "LSI" if is_lsi else "MSI"

    def free(self, number):
        if not FIRST <= number <= LAST:
            return REFUSED
        self.sources[number] = fresh_source() | {"prio": 0, "saved": 0}

    def reset(self):
        for server in self.servers.values():
            server.update(cppr=0, mfrr=0xFF, shown=None)
            self.lines[server["cpu"]] = 0
        for source in self.sources.values():
            source.update(fresh_source() | {"kind": source["kind"]})

    # Calls

    def hcall(self, cpu, opcode, *words):
        first, second = (*words, 0, 0)[:2]
        if cpu not in self.order:
            return REFUSED
        if opcode not in (0x64, 0x68, 0x6C, 0x70, 0x74, 0x2FC):
            return (-2,)
        if opcode in (0x74, 0x2FC):
            xirr = self.accept(cpu)
            return (-1,) if self.negotiated else (0, xirr) if opcode == 0x74 else (0, xirr, 0)
        if self.negotiated:
            return (-1,)
        if opcode == 0x64:
            self.end(cpu, first % (1 << 32))
        elif opcode == 0x68:
            self.cppr(cpu, first % 256)
        else:
            server = self.servers.get(first % (1 << 32))
            if server is None:
                return (-4,)
            if opcode == 0x70:
                return 0, server["cppr"] << 24 | (server["shown"] or (0,))[0], server["mfrr"]
            server["mfrr"] = second % 256
            self.ask_for_ipi(server)
        return (0,)

    def rtas(self, cpu, token, nargs, nret, *words):
        """The results; there are as many words as the call could want."""
        if cpu not in self.order:
            return REFUSED
        if self.negotiated:
            return (-1,)
        wants = {0x200A: (3, 1), 0x200B: (1, 3), 0x200C: (1, 1), 0x200D: (1, 1)}[token]
        number, server, prio = words
        if (nargs, nret) != wants or not FIRST <= number <= LAST:
            return (-3,)
        source = self.sources[number]
        if token == 0x200A:
            if server not in self.servers or prio > 0xFF:
                return (-3,)
            self.route(number, server, prio, prio)
        elif token == 0x200B:
            return 0, source["server"], source["prio"]
        elif token == 0x200C:
            self.route(number, source["server"], 0xFF, source["prio"])
        else:
            self.route(number, source["server"], source["saved"], source["saved"])
        return (0,)

    def negotiate(self, negotiated):
        self.negotiated = negotiated

    # What the model's tables hold

    def tables(self):
        bits = {"up": 1, "sent": 2, "rejected": 4, "masked pending": 8}
        columns = {"server": [], "priority": [], "saved": [], "status": [], "flags": []}
        for source in self.sources.values():
            kind = {"LSI": 1, "MSI": 2, None: 0}[source["kind"]]
            row = source["server"], source["prio"], source["saved"], sum(bits[word] for word in source["is"]), kind
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
        return columns

    def registers(self, cpu):
        server = self.server_of(cpu)
        number, priority, _ = server["shown"] or (0, 0xFF, False)
        return server["cppr"] << 24 | number, priority, server["mfrr"], int(server["ghost"]), self.lines[cpu]
