import re

from bcrypt import checkpw

from infra.base.login import bcrypt


def test_hash_is_of_its_password_and_the_same_each_time():
    first = bcrypt("correct horse battery staple")
    assert re.fullmatch(r"\$2b\$04\$[./A-Za-z0-9]{53}", first)
    assert bcrypt("correct horse battery staple") == first
    assert checkpw(b"correct horse battery staple", first.encode())
    assert not checkpw(b"correct horse battery stapled", first.encode())
