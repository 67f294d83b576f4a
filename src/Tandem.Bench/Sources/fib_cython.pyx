# cython: language_level=3
cdef long fib(long n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def run(n):
    return fib(int(n))
