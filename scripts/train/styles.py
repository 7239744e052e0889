"""Rhythms of many kinds of music, one bar a string, on a grid of `steps` per beat.

X loud, x normal, o soft, ? soft in some bars, . rest. A string of two bars' length alternates. The tempo is that of the beat a listener taps;
where two are possible (trap, drum and bass) it is the one its producers count. Swing delays every second step (share of a step).
"""
# ruff: noqa: E501  a table

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Style:
    """One kind of music: what may be drawn from for each part."""

    tempo_bpm: tuple[float, float]
    drums: tuple[dict[str, str], ...]
    steps: int = 4
    metre: int = 4
    swing: tuple[float, float] = (0.0, 0.0)
    kits: str = "any"
    comp: tuple[str, ...] = ("pad", "x...x...x...x...", "..x...x...x...x.", "x.x.x.x.x.x.x.x.", "x..x..x...x..x..", "arp8", "arp16")
    bass: tuple[str, ...] = ("kick", "x.x.x.x.x.x.x.x.", "x.......x.......", "x..x..x.x..x..x.")
    programs: str = "pop"
    weight: float = 1.0
    flags: frozenset = field(default_factory=frozenset)


FLOOR, BACK = "X...X...X...X...", "....X.......X..."
EIGHTHS, OFF, SIXTEENTHS = "x.o.x.o.x.o.x.o.", "..x...x...x...x.", "xoxoxoxoxoxoxoxo"
DRIVE = frozenset({"distort"})
PUMP = frozenset({"pump"})

STYLES: dict[str, Style] = {
    "house": Style((116, 130), (
        {"kick": FLOOR, "clap": BACK, "open": OFF}, {"kick": FLOOR, "clap": BACK, "hat": SIXTEENTHS, "open": OFF},
        {"kick": FLOOR, "snare": BACK, "hat": "..x.?.x.?.x.?.x?", "shaker": SIXTEENTHS}, {"kick": FLOOR, "open": OFF, "rim": "...x..x...x..x.."}),
        kits="electronic", programs="electro", weight=2, flags=PUMP),
    "techno": Style((122, 150), (
        {"kick": FLOOR, "hat": OFF}, {"kick": FLOOR, "hat": SIXTEENTHS, "clap": BACK}, {"kick": FLOOR, "rim": "..x..x..x..x..x.", "open": OFF},
        {"kick": "X...X...X...X..x", "tom_lo": "..o..o.o..o..o.o", "hat": ".x.x.x.x.x.x.x.x"}, {"kick": FLOOR}),
        kits="electronic", programs="electro", weight=2, flags=PUMP,
        comp=("arp16", "arp8", "..x...x...x...x.", "x..x..x..x..x..x", "pad"), bass=("..x...x...x...x.", ".xxx.xxx.xxx.xxx", "xxxxxxxxxxxxxxxx")),
    "trance": Style((130, 146), ({"kick": FLOOR, "open": OFF, "clap": BACK}, {"kick": FLOOR, "hat": SIXTEENTHS, "open": OFF}),
        kits="electronic", programs="electro", flags=PUMP, comp=("arp16", "pad", "x..x..x..x..x.x."), bass=("..x...x...x...x.", ".xxx.xxx.xxx.xxx")),
    "dnb": Style((160, 182), (
        {"kick": "X.........X.....", "snare": BACK, "hat": EIGHTHS}, {"kick": "X.X.......XX....", "snare": "....X..o.o..X..o", "ride": EIGHTHS},
        {"kick": "X.....X...X.....X.........X.....", "snare": "....X.......X.......X..x....X...", "hat": SIXTEENTHS},
        {"kick": "X.x.......x.....", "snare": "....X..x.x..X...", "hat": "x.x.x.x.x.x.x.x."}), programs="electro", weight=2),
    "breaks": Style((100, 145), (
        {"kick": "X.....x...X.....", "snare": BACK, "hat": EIGHTHS}, {"kick": "X.x.......x..x..", "snare": "....X..o.o..X...", "ride": "x.x.x.x.x.x.x.x."},
        {"kick": "X..x..X...x.....", "snare": "....X..o....X.o.", "hat": SIXTEENTHS}), weight=2),
    "trap": Style((126, 160), (
        {"kick": "X.....x.........", "snare": "........X.......", "hat": "x.x.x.x.x.x.xxxx"}, {"kick": "X.....x.....x...", "clap": "........X.......", "hat": "xxx.xxx.x.x.xxxx"},
        {"kick": "X..x......x..x..", "clap": "........X.......", "hat": EIGHTHS, "open": "..............?."}),
        kits="electronic", programs="electro", weight=1.5, comp=("pad", "arp8", "x.......x......."), bass=("kick",)),
    "hiphop": Style((72, 102), (
        {"kick": "X..o...x..X.....", "snare": BACK, "hat": EIGHTHS}, {"kick": "X......x..x.....", "snare": BACK, "hat": "x.x.x.xxx.x.x.x."},
        {"kick": "X.x....x.x......", "snare": "....X..o....X...", "hat": SIXTEENTHS}, {"kick": "X.......X.x.....", "clap": BACK, "shaker": EIGHTHS}),
        swing=(0, 0.34), weight=2.5, comp=("pad", "x.......x.......", "arp8", "x..x..x...x....."), bass=("kick", "x.......x..x....")),
    "reggae": Style((62, 92), (
        {"kick": "........X.......", "rim": "........X.......", "hat": EIGHTHS}, {"kick": "........X.......", "snare": "........X.....?.", "hat": "x.xxx.x.x.xxx.x."},
        {"kick": "X.......X.......", "rim": BACK, "hat": EIGHTHS}, {"kick": FLOOR, "rim": "........X.......", "hat": "..x...x...x...x."}),
        swing=(0, 0.3), programs="reggae", weight=2, comp=("..x...x...x...x.", "..X.o.X.o.X.o.X.", "....x.......x..."),
        bass=("x..x..x.........", "......x.x..x..x.", "x.x...x.x.....x.", "....x.x.x.x.....")),
    "reggaeton": Style((84, 106), ({"kick": FLOOR, "snare": "...x..x....x..x."}, {"kick": FLOOR, "snare": "...x..x....x..x.", "hat": EIGHTHS, "shaker": SIXTEENTHS}),
        kits="electronic", weight=1.2, bass=("kick", "x..x..x.x..x..x.")),
    "dubstep": Style((136, 146), ({"kick": "X.........x.....", "snare": "........X.......", "hat": EIGHTHS}, {"kick": "X..x......x.....", "snare": "........X.......", "ride": "x...x...x...x..."}),
        kits="electronic", programs="electro", comp=("pad", "arp16"), bass=("x.xxx.x.xxx.x.x.", "kick")),
    "rock": Style((84, 172), (
        {"kick": "X.......X.......", "snare": BACK, "hat": EIGHTHS}, {"kick": "X.....x.X.......", "snare": BACK, "hat": EIGHTHS},
        {"kick": "X..x....X.x.....", "snare": BACK, "ride": EIGHTHS}, {"kick": "X.......x.x.....", "snare": BACK, "open": "x...x...x...x..."},
        {"kick": "X.x.....X.x.....", "snare": "....X.......X..?", "crash": "x...x...x...x..."}, {"kick": "X...X...X...X...", "tom_lo": "x.x.x.x.x.x.x.x.", "snare": BACK}),
        kits="acoustic", programs="rock", weight=2.5, flags=DRIVE, bass=("x.x.x.x.x.x.x.x.", "kick", "x...x...x...x...")),
    "metal": Style((100, 215), (
        {"kick": "XxXxXxXxXxXxXxXx", "snare": BACK, "ride": "x...x...x...x..."}, {"kick": "XxXxXxXxXxXxXxXx", "snare": "........X.......", "crash": "x...x...x...x..."},
        {"kick": "X.X.X.X.X.X.X.X.", "snare": "..X...X...X...X.", "hat": "x.x.x.x.x.x.x.x."}, {"kick": "X.xxX.xxX.xxX.xx", "snare": BACK, "hat": "x...x...x...x..."},
        {"kick": "X..xX..xX..xX..x", "snare": BACK, "crash": "x...x...x...x..."}, {"kick": "X.....x.X.x...x.", "snare": "........X.......", "ride": "x.x.x.x.x.x.x.x."},
        {"kick": "X...X...X...X...", "snare": "..X...X...X...X.", "ride": "x...x...x...x..."}, {"kick": "X.x.X.x.X.x.X.x.", "snare": BACK, "open": "x...x...x...x..."}),
        kits="acoustic", programs="metal", weight=4, flags=DRIVE, comp=("x.x.x.x.x.x.x.x.", "xxxxxxxxxxxxxxxx", "x.xxx.xxx.xxx.xx", "x...x.x...x.x...", "kick", "pad", "x.......x......."),
        bass=("x.x.x.x.x.x.x.x.", "kick", "xxxxxxxxxxxxxxxx")),
    "punk": Style((150, 215), (
        {"kick": "X.....X.X.....X.", "snare": BACK, "hat": "x.x.x.x.x.x.x.x."}, {"kick": "X...x.X.X...x.X.", "snare": "..x...x...x...x.", "crash": "x...x...x...x..."},
        {"kick": "X.......X.x.....", "snare": BACK, "crash": "x...x...x...x..."}), kits="acoustic", programs="metal", weight=1.5, flags=DRIVE,
        comp=("x.x.x.x.x.x.x.x.", "x...x...x...x..."), bass=("x.x.x.x.x.x.x.x.",)),
    "funk": Style((88, 122), (
        {"kick": "X.x....x..x.....", "snare": "....X..o.o..X..o", "hat": SIXTEENTHS}, {"kick": "X..x..x...x..x..", "snare": "....X..o.o..X...", "hat": EIGHTHS},
        {"kick": "X.x...x.....x.x.", "snare": "....X.o..o.oX...", "hat": "x.xxx.x.xxx.x.xx"}), swing=(0, 0.2), programs="funk", weight=1.5,
        comp=("..x..x.x..x..x..", "x..x...x..x.....", "...x..x....x..x.", "xx.x.xx.x.xx.x.x"), bass=("x..x..x...x..x.x", "x.xx....x.x..x..", "kick")),
    "disco": Style((108, 132), ({"kick": FLOOR, "snare": BACK, "open": OFF}, {"kick": FLOOR, "snare": BACK, "hat": "xoxoxoxoxoxoxoxo"}),
        programs="funk", bass=("x.x.x.x.x.x.x.x.", "x..xx..xx..xx..x"), comp=("..x...x...x...x.", "x..x..x..x..x.x.", "pad")),
    "soul": Style((70, 132), (
        {"kick": "X.....x.x.......", "snare": "X...X...X...X...", "hat": EIGHTHS}, {"kick": "X..x....x.x.....", "snare": BACK, "hat": EIGHTHS, "shaker": EIGHTHS}),
        kits="acoustic", programs="funk", weight=1.5),
    "ballad": Style((54, 92), ({"kick": "X.......x.......", "snare": BACK, "hat": EIGHTHS}, {"kick": "X......xx.......", "rim": BACK, "hat": EIGHTHS}, {"kick": "X.......x.......", "snare": BACK, "ride": "x.o.x.o.x.o.x.o."}),
        weight=1.5, comp=("pad", "arp8", "x.......x......."), bass=("x.......x.......", "x......xx.......")),
    "swing": Style((90, 245), (
        {"ride": "x..x.ox..x.o", "hat": "...x.....x..", "kick": "o..o..o..o.."}, {"ride": "x..x.ox..x.o", "hat": "...x.....x..", "snare": "?....?..?..?", "kick": "?.....?....?"},
        {"hat": "x..x.ox..x.o", "snare": "...x.....x..", "kick": "x.....x....."}), steps=3, kits="acoustic", programs="jazz", weight=2.5,
        comp=("x....x......", "..x..x......", "x.....x..x..", "x..x..x..x..", "pad", ".....x..x..."), bass=("walk", "walk", "x.....x.....")),
    "shuffle": Style((60, 150), (
        {"kick": "X.....X....x", "snare": "...X.....X..", "hat": "x.xx.xx.xx.x"}, {"kick": "X....xX.....", "snare": "...X.....X..", "ride": "x.xx.xx.xx.x"},
        {"kick": "X.....X.....", "snare": "......X.....", "hat": "x.xx.xx.xx.x"}, {"kick": "X.....X..x..", "snare": "...X.....X..", "hat": "xxxxxxxxxxxx"}),
        steps=3, kits="acoustic", programs="rock", weight=1.5, comp=("x.xx.xx.xx.x", "pad", "x..x..x..x..", "arp12"), bass=("walk", "x.xx.xx.xx.x", "x.....x.....")),
    "bossa": Style((105, 165), ({"kick": "X..xX..xX..xX..x", "rim": "x..x..x...x..x..", "hat": "x.x.x.x.x.x.x.x."}, {"kick": "x..xx..xx..xx..x", "rim": "..x..x...x..x...", "shaker": SIXTEENTHS}),
        kits="acoustic", programs="latin", comp=("x..x..x...x..x..", "..x..x.x..x..x..", "pad"), bass=("x..xx..xx..xx..x",)),
    "salsa": Style((160, 220), (
        {"conga_hi": "..x...xx..x...xx", "bell": "x.x.xx.xx.x.xx.x", "rim": "x..x..x...x.x..."}, {"conga_hi": "x.x.x.xxx.x.x.xx", "conga_lo": "......xx......xx", "bell": "x...x...x...x...", "kick": "...x...x...x...x"}),
        kits="acoustic", programs="latin", comp=("x..x..x..x..x.x.", "x.xx.xx.x.xx.xx."), bass=("......x.....x...", "...x..x....x..x.")),
    "samba": Style((92, 118), ({"kick": "o..xX..xo..xX..x", "hat": SIXTEENTHS, "snare": "x.xx.xx.x.xx.x.x"}, {"kick": "o..xX..xo..xX..x", "shaker": SIXTEENTHS, "bell": "x.x.xx.xx.x.x.xx"}),
        kits="acoustic", programs="latin", comp=("x.xx.xx.x.xx.x.x", "..x..x.x..x..x.."), bass=("x..xx..xx..xx..x",)),
    "chacha": Style((108, 132), ({"bell": "x...x...x...x...", "conga_hi": "..x...x...x...xx", "kick": "......x.......x.", "shaker": "x.o.x.o.x.o.x.o."},), kits="acoustic", programs="latin", weight=0.7,
        comp=("x...x...x...x...", "x..x..x...x.x..."), bass=("x.....x.x.....x.",)),
    "afrobeat": Style((92, 126), (
        {"kick": "X.....x.X...x...", "snare": "....x..o..x.x..o", "hat": SIXTEENTHS, "shaker": EIGHTHS}, {"kick": "X..x..x...x.....", "rim": "..x...x...x..x..", "conga_hi": "..xx..x...xx..x.", "bell": "x..x..x...x.x..."},
        {"kick": "x...x...x...x...", "rim": "x..x..x...x.x...", "conga_lo": "......xx......xx", "shaker": SIXTEENTHS}), programs="funk", weight=1.5,
        comp=("..x..x.x..x..x..", "x..x..x..x..x..."), bass=("x..x..x...x.....", "..x.x...x.x...x.")),
    "waltz": Style((84, 205), (
        {"kick": "X...........", "snare": "....x...x...", "hat": "x...x...x..."}, {"kick": "X...........", "hat": "....x...x..."}, {"ride": "x.o.x.o.x.o.", "kick": "X.......?...", "snare": "........x..."}),
        metre=3, weight=2, comp=("....x...x...", "x...x...x...", "pad", "arp8"), bass=("x...........", "x.......x..."), programs="any"),
    "jazz_waltz": Style((110, 200), ({"ride": "x..x.ox..", "hat": "...x.....", "kick": "x.....?.."}, {"ride": "x..x..x.o", "hat": "...x..x..", "snare": "?....?..?", "kick": "x........"}), steps=3, metre=3, kits="acoustic",
        programs="jazz", comp=("x....x...", "...x..x..", "pad"), bass=("x........", "walk")),
    "six_eight": Style((46, 84), (
        {"kick": "X...........", "snare": "......X.....", "hat": "x.x.x.x.x.x."}, {"kick": "X.....?...x.", "snare": "......X.....", "hat": "x.o.o.x.o.o."}, {"kick": "X...o.......", "rim": "......X.....", "ride": "x.x.x.x.x.x."}),
        steps=6, metre=2, weight=2, comp=("x.x.x.x.x.x.", "pad", "x.....x.....", "arp12"), bass=("x...........", "x.....x....."), programs="any"),
    "jig": Style((96, 140), ({"tom_lo": "X.xx.x", "shaker": "xxxxxx"}, {"kick": "X..x..", "snare": "..x..x", "hat": "x.xx.x"}, {"tom_hi": "XoxXox"}), steps=3, metre=2, kits="acoustic", programs="folk", weight=1.2,
        comp=("x..x..", "xxxxxx", "x.xx.x"), bass=("x..x..", "x.....")),
    "five": Style((90, 190), (
        {"kick": "X.....x.....X.......", "snare": "....X.......X...X...", "hat": "x.o.x.o.x.o.x.o.x.o."}, {"kick": "X.....x.....x.......", "snare": "........X.......X...", "ride": "x.o.x.o.x.o.x.o.x.o."}),
        metre=5, weight=1.2, programs="any", comp=("x.....x.....x...x...", "pad", "arp8"), bass=("x.....x.....x...x...", "x...........x.......")),
    "seven": Style((120, 200), ({"kick": "X.......X.......X...........", "snare": "....X.......X.......X...X...", "hat": "x.o.x.o.x.o.x.o.x.o.x.o.x.o."},), metre=7, weight=0.5, programs="rock",
        comp=("x.......x.......x...........", "pad"), bass=("x.......x.......x...........",)),
    "march": Style((96, 128), ({"kick": "X.......X.......", "snare": "x.x.x.xxx.x.x.xx", "crash": BACK}, {"kick": "X.......X.......", "snare": "..x...x...x...xx"}), kits="acoustic", programs="folk", weight=0.7,
        comp=("..x...x...x...x.", "x...x...x...x..."), bass=("x.......x.......",)),
    "soft_kick": Style((90, 140), ({"kick": "o...o...o...o...", "hat": "..X...X...X...X."}, {"kick": "o...o...o...o...", "open": "..X...X...X...X.", "clap": "....o.......o..."}), kits="electronic", weight=0.7),
    "grid": Style((56, 205), ({"kick": FLOOR, "hat": EIGHTHS}, {"kick": "X.......X.......", "snare": BACK, "hat": EIGHTHS}, {"rim": FLOOR}, {"hat": FLOOR}, {"kick": "X...x...x...x...", "hat": OFF}, {"bell": "X...o...o...o..."}, {"kick": FLOOR, "snare": BACK, "hat": EIGHTHS}), weight=1.5, programs="none"),
    "no_drums": Style((56, 150), ({},), programs="chamber", weight=3, comp=("arp8", "arp16", "x...x...x...x...", "pad", "x.x.x.x.x.x.x.x.", "x.......x......."), bass=("x.......x.......", "x...x...x...x...", "x...............")),
    "no_drums_3": Style((70, 170), ({},), metre=3, programs="chamber", weight=1.2, comp=("....x...x...", "arp8", "x...x...x..."), bass=("x...........",)),
    "no_drums_6": Style((46, 80), ({},), steps=6, metre=2, programs="chamber", weight=0.8, comp=("arp12", "x.x.x.x.x.x.", "x.....x....."), bass=("x...........", "x.....x.....")),
}

PROGRAMS: dict[str, dict[str, tuple[int, ...]]] = {
    "pop": {"comp": (0, 1, 4, 5, 24, 25, 27, 48, 50, 81), "bass": (33, 34, 38, 39), "lead": (73, 65, 80, 81, 0, 11, 53, 27), "pad": (48, 50, 52, 88, 89, 90, 94)},
    "electro": {"comp": (80, 81, 62, 63, 87, 4, 90, 50, 84), "bass": (38, 39, 87, 81), "lead": (80, 81, 84, 86, 98, 11), "pad": (88, 89, 90, 91, 94, 95, 50)},
    "reggae": {"comp": (27, 28, 16, 17, 0, 24), "bass": (33, 32, 39, 35), "lead": (22, 56, 57, 65, 53), "pad": (16, 17, 18, 50)},
    "rock": {"comp": (27, 29, 30, 25, 26, 28), "bass": (33, 34, 36), "lead": (29, 30, 27, 53, 81), "pad": (16, 18, 48, 30)},
    "metal": {"comp": (29, 30, 30), "bass": (34, 33, 36), "lead": (30, 29, 81), "pad": (30, 48, 52)},
    "funk": {"comp": (7, 28, 27, 4, 16, 61, 62), "bass": (36, 37, 33, 38), "lead": (61, 56, 65, 66, 73), "pad": (50, 48, 16)},
    "jazz": {"comp": (0, 26, 4, 11), "bass": (32, 32, 35), "lead": (56, 65, 66, 71, 73, 26), "pad": (48, 52)},
    "latin": {"comp": (0, 24, 25, 26), "bass": (32, 33, 35), "lead": (56, 73, 24, 65, 11), "pad": (48, 52)},
    "folk": {"comp": (25, 24, 15, 21, 105, 46), "bass": (32, 43, 33), "lead": (40, 72, 73, 110, 21, 22, 109), "pad": (48, 21, 49)},
    "chamber": {"comp": (0, 0, 24, 25, 46, 48, 4, 11, 19, 52, 6), "bass": (0, 32, 42, 43, 48, 52), "lead": (40, 41, 42, 68, 71, 73, 52, 53, 0), "pad": (48, 49, 52, 53, 19, 89)},
}
PROGRAMS["any"] = PROGRAMS["pop"]
