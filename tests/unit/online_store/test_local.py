import subprocess
import time

import pytest

from infra.online_store.local import CONFIGURATION, quoted


@pytest.mark.parametrize("name", ["a b", "it's", 'say "no"', "back\\slash", "50% ü", "a\\tb"])
def test_redis_keeps_its_data_in_a_folder_of_any_name(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    text = CONFIGURATION.format(host="127.0.0.1", port=0, folder=quoted(str(folder)), password="x", maxmemory_mib=1)
    configuration = tmp_path / "redis.conf"
    configuration.write_text(text)
    command = ["redis-server", str(configuration), "--unixsocket", str(tmp_path / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        deadline = time.monotonic() + 60
        while server.poll() is None and not any(folder.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        server.terminate()
        assert any(folder.iterdir()), server.stdout.read()
