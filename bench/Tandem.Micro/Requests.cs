using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using BenchmarkDotNet.Attributes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;

namespace Tandem.Micro;

/// <summary>
/// Requests through the pipeline of the shipped program, from behind Kestrel to its answer: limits, routing, token, handler, JSON. Kestrel uses its
/// contexts again; here each is made anew, and <see cref="Nothing"/> says what that costs.
/// </summary>
public class Requests
{
    const string Body = """{"name":"Pen","price":1.5}""";
    const int AtOnce = 128;

    readonly Task[] _items = new Task[AtOnce];
    Backend? _backend;
    IServiceScopeFactory? _scopes;
    string _authorization = "";
    string _user = "";

    [GlobalSetup]
    public async Task SetUp()
    {
        _backend = await Backend.StartAsync();
        _scopes = _backend.Get<IServiceScopeFactory>();
        _authorization = "Bearer " + await _backend.TokenAsync(await _backend.SignInAsync());
        _user = "/users/" + _backend.AccountId.ToString(CultureInfo.InvariantCulture);
        if (await Health() != 200 || await User() != 200 || await ItemAsync() != 201)
            throw new InvalidOperationException("The program answers something else.");
    }

    [GlobalCleanup]
    public async Task CleanUp() => await _backend!.DisposeAsync(); // made by SetUp, as all below

    [Benchmark(Baseline = true, Description = "a context alone, for the pipeline to be compared with")]
    public int Nothing() => NewContext("GET", "/health", authorized: false).Response.StatusCode;

    [Benchmark(Description = "GET /health")]
    public Task<int> Health() => SendAsync(NewContext("GET", "/health", authorized: false));

    [Benchmark(Description = "GET /users/{id} with a token")]
    public Task<int> User() => SendAsync(NewContext("GET", _user, authorized: true));

    [Benchmark(Description = "POST /items with a token, 128 at once", OperationsPerInvoke = AtOnce)]
    public Task Items()
    {
        for (var i = 0; i < AtOnce; i++)
            _items[i] = ItemAsync();
        return Task.WhenAll(_items);
    }

    Task<int> ItemAsync()
    {
        var context = NewContext("POST", "/items", authorized: true);
        context.Request.ContentType = "application/json";
        context.Request.ContentLength = Body.Length;
        context.Request.Body = new MemoryStream(Encoding.ASCII.GetBytes(Body));
        return SendAsync(context);
    }

    async Task<int> SendAsync(HttpContext context)
    {
        await _backend!.Pipeline(context);
        return context.Response.StatusCode;
    }

    DefaultHttpContext NewContext(string method, string path, bool authorized)
    {
        var features = new FeatureCollection(8);
        features.Set<IHttpRequestFeature>(new HttpRequestFeature { Method = method, Path = path, Scheme = "http", Protocol = "HTTP/1.1" });
        features.Set<IHttpResponseFeature>(new HttpResponseFeature());
        features.Set<IHttpResponseBodyFeature>(new Answer());
        var context = new DefaultHttpContext(features) { ServiceScopeFactory = _scopes! };
        context.Request.Host = new HostString("localhost");
        if (authorized)
            context.Request.Headers.Authorization = _authorization;
        return context;
    }

    /// <summary>Takes what is written and forgets it; Kestrel has a buffer at hand, too.</summary>
    sealed class Answer : PipeWriter, IHttpResponseBodyFeature
    {
        [ThreadStatic]
        static byte[]? _buffer;

        public Stream Stream => Stream.Null;
        public PipeWriter Writer => this;
        public override Memory<byte> GetMemory(int sizeHint = 0) => _buffer ??= new byte[64 * 1024];
        public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;
        public override void Advance(int bytes) { }
        public override void CancelPendingFlush() { }
        public override void Complete(Exception? exception = null) { }
        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) => default;
        public void DisableBuffering() { }
        public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;
        public Task CompleteAsync() => Task.CompletedTask;

        public Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken) =>
            throw new NotSupportedException("Nothing that is measured answers with a file.");
    }
}
