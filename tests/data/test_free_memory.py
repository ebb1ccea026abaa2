from core.data import image_cache
from core.data.image_cache import available_memory_bytes


def test_the_smaller_of_system_and_container_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(image_cache, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(image_cache, "_CONTROL_GROUP", tmp_path)
    assert available_memory_bytes() is None
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   4 kB\n")
    assert available_memory_bytes() == 4096
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.stat").write_text("anon 2500\ninactive_file 500\n")
    assert available_memory_bytes() == 4096
    (tmp_path / "memory.max").write_text("4000\n")
    assert available_memory_bytes() == 1500
