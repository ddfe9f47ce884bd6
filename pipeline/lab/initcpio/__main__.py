import sys
from pathlib import Path
from pipeline.lab.initcpio.build import build
from pipeline.lab.initcpio.config import read_config, read_preset
from pipeline.lab.initcpio.modules import ModuleTree

a = dict(zip(sys.argv[1::2], sys.argv[2::2]))
root = Path(a["--root"])
p = next((root / "etc/mkinitcpio.d").glob("*.preset"))
pre = read_preset(p)[0]
cfg = read_config(root / "etc/mkinitcpio.conf")
t = root / "configured"
b = build(
    cfg,
    host_root=root,
    tree=ModuleTree(root, a["--running"]),
    modaliases=Path(a["--modalias-file"]).read_text().split("\n"),
    target=t,
)
(root / pre.image.lstrip("/")).write_bytes(Path(a["--base"]).read_bytes() + t.read_bytes())
t.unlink()
for m in b.messages:
    print(m)
for m in b.stand_ins:
    print("  -> stand-in: " + m)
sys.exit(b.status)
