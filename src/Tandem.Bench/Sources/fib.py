from lines import serve


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


serve(fib=lambda n: fib(int(n)))
