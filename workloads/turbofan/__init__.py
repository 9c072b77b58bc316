"""The turbofan workload: how many cycles an aircraft engine has left."""
