using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Security.Claims;
using Microsoft.AspNetCore.Authentication.JwtBearer;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Playwright;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Users.OpenId;

/// <summary>Programs of others that check our tokens and sign in here, as they come.</summary>
public sealed class InteropTests(Browser browser) : IClassFixture<Browser>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    /// <summary>The page of an application that lives in the browser: all that oidc-client-ts is asked to do, and what comes of it.</summary>
    const string Page = """
        <!doctype html><title>The shop</title>
        <body><pre id="out"></pre><button id="in">Sign in</button><button id="more">Refresh</button><button id="off">Revoke</button>
        <script src="/oidc-client-ts.min.js"></script>
        <script>
        const say = text => document.getElementById("out").textContent = text;
        const manager = new oidc.UserManager({ ...window.settings, response_type: "code", scope: "openid email offline_access", loadUserInfo: true, automaticSilentRenew: false,
          userStore: new oidc.WebStorageStateStore({ store: window.sessionStorage }) });
        const run = work => work().catch(e => say("failed: " + e));
        document.getElementById("in").onclick = () => run(() => manager.signinRedirect());
        document.getElementById("more").onclick = () => run(async () => {
          const before = (await manager.getUser()).refresh_token;
          const user = await manager.signinSilent();
          say(`refreshed ${user.profile.email} ${before !== user.refresh_token}`);
        });
        document.getElementById("off").onclick = () => run(async () => { await manager.revokeTokens(); say("revoked"); });
        if (location.search.includes("code="))
          run(async () => { const user = await manager.signinCallback(); say(`signed in ${user.profile.sub} ${user.profile.email}`); });
        </script>
        """;

    [Fact]
    public async Task An_application_in_the_browser_signs_in_refreshes_and_revokes_with_oidc_client_ts()
    {
        var script = Path.Combine(Repository.Root, "artifacts", "tools", "node_modules", "oidc-client-ts", "dist", "browser", "oidc-client-ts.min.js");
        Assert.SkipUnless(File.Exists(script), "What tests/tools names is not installed; ./test does that.");
        var settings = "";
        await using var shop = Listen();
        shop.MapGet("/oidc-client-ts.min.js", () => Results.File(script, "text/javascript"));
        shop.MapGet("/", () => Results.Content(Page.Replace("<script src", $"<script>window.settings = {settings}</script>\n<script src"), "text/html"));
        await shop.StartAsync(Ct);
        var origin = shop.Urls.First();
        await using var app = await OpenIdFixture.StartAsync();
        var client = await app.ClientAsync(isPublic: true, redirect: "http://127.0.0.1/");
        using var person = await app.PersonAsync();
        settings = System.Text.Json.JsonSerializer.Serialize(new { authority = app.Address + "/", client_id = client.Id, redirect_uri = origin + "/" });

        var (page, _) = await browser.OpenAsync(app);
        await page.GotoAsync(origin);
        await page.Locator("#in").ClickAsync();
        await SignInAsync(page, person.Email);
        await Assertions.Expect(page.Locator("#out")).ToHaveTextAsync($"signed in {person.Id} {person.Email}");
        await page.Locator("#more").ClickAsync();
        await Assertions.Expect(page.Locator("#out")).ToHaveTextAsync($"refreshed {person.Email} true");
        await page.Locator("#off").ClickAsync();
        await Assertions.Expect(page.Locator("#out")).ToHaveTextAsync("revoked");
        Assert.Equal(1, await app.Db.FindAsync<long>($"select count(*) from users_sessions where client_id = {client.Id} and end_reason = {"revoked"}", Ct));
        // Without tokens it asks in a frame that nobody sees (prompt=none): the browser is still signed in, and the person has allowed it.
        await page.Locator("#more").ClickAsync();
        await Assertions.Expect(page.Locator("#out")).ToHaveTextAsync($"refreshed {person.Email} true");
        await page.CloseAsync();
    }

    [Fact]
    public async Task A_service_of_ASPNET_checks_our_tokens_with_JwtBearer()
    {
        await using var app = await OpenIdFixture.StartAsync();
        var client = await app.ClientAsync(scopes: ["openid", "api"]);
        using var person = await app.PersonAsync();
        using var signedIn = new TestBrowser(app);
        await using var service = Listen(builder =>
        {
            builder.Services.AddAuthentication(JwtBearerDefaults.AuthenticationScheme).AddJwtBearer(options =>
            {
                options.Authority = app.Address + "/";
                options.Audience = "tandem";
                options.MapInboundClaims = false;
                options.TokenValidationParameters.ValidTypes = ["at+jwt"];
                // Without https, as on a developer's machine.
                options.RequireHttpsMetadata = false;
            });
            builder.Services.AddAuthorization();
        });
        service.UseAuthentication();
        service.UseAuthorization();
        service.MapGet("/", (ClaimsPrincipal user) => $"{user.FindFirstValue("sub")} {user.FindFirstValue("client_id")} {user.FindFirstValue("scope")}").RequireAuthorization();
        await service.StartAsync(Ct);
        using var http = new HttpClient { BaseAddress = new Uri(service.Urls.First()) };

        var tokens = await app.SignInAsync(client, person.Email, signedIn, "openid api");
        var token = tokens.GetProperty("access_token").GetString()!;
        Assert.Equal($"{person.Id} {client.Id} openid api", await GetAsync(token));
        Assert.Equal($"{person.Id}  offline_access", await GetAsync(person.AccessToken));
        // For another audience, of another kind, and one of which a letter was changed.
        var elsewhere = (await app.SignInAsync(client, person.Email, signedIn, "openid")).GetProperty("access_token").GetString()!;
        foreach (var bad in new[] { elsewhere, tokens.GetProperty("id_token").GetString()!, token[..^5] + (token[^5] == 'A' ? 'B' : 'A') + token[^4..] })
            Assert.Equal("401", await GetAsync(bad));

        async Task<string> GetAsync(string bearer)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/") { Headers = { Authorization = new("Bearer", bearer) } };
            using var response = await http.SendAsync(request, Ct);
            return response.IsSuccessStatusCode ? await response.Content.ReadAsStringAsync(Ct) : $"{(int)response.StatusCode}";
        }
    }

    [Fact]
    public async Task Apache_signs_people_in_with_mod_auth_openidc_and_out_when_it_is_told()
    {
        const string Modules = "/usr/lib/apache2/modules";
        Assert.SkipUnless(File.Exists($"{Modules}/mod_auth_openidc.so"), "libapache2-mod-auth-openidc is not installed; ./test does that.");
        await using var app = await OpenIdFixture.StartAsync(null, "--Users:CallPrivateAddresses", "true");
        var address = $"http://127.0.0.1:{FreePort()}";
        var client = await app.ClientAsync(isTrusted: false, redirect: address + "/callback");
        using var admin = await app.AdministratorAsync();
        await (await admin.Http.PatchAsJsonAsync($"/clients/{client.Id}", new { backchannel_logout_uri = address + "/callback?logout=backchannel" }, Ct)).JsonAsync();
        using var person = await app.PersonAsync();
        using var apache = await Apache.StartAsync(address, $"""
            LoadModule auth_openidc_module {Modules}/mod_auth_openidc.so
            OIDCProviderMetadataURL {app.Address}/.well-known/openid-configuration
            OIDCClientID {client.Id}
            OIDCClientSecret {client.Secret}
            OIDCRedirectURI {address}/callback
            OIDCCryptoPassphrase nothing-to-keep
            OIDCScope "openid email"
            OIDCPKCEMethod S256
            OIDCRemoteUserClaim email
            <Location />
                AuthType openid-connect
                Require valid-user
                Header always set X-User "expr=%{"{REMOTE_USER}"}"
            </Location>
            """);

        var (page, _) = await browser.OpenAsync(app);
        await page.GotoAsync(address + "/");
        await SignInAsync(page, person.Email);
        await page.GetByRole(AriaRole.Button, new() { Name = "Allow", Exact = true }).ClickAsync();
        await Assertions.Expect(page.Locator("body")).ToContainTextAsync("Served by Apache");
        Assert.Equal(person.Email, await UserOfAsync(page, address));

        await (await person.Http.DeleteAsync("/sessions", Ct)).JsonlessAsync(204);
        await Eventually.TrueAsync(async () => await UserOfAsync(page, address) != person.Email);
        await Assertions.Expect(page.GetByLabel("Password")).ToBeVisibleAsync();
        await page.CloseAsync();

        static async Task<string?> UserOfAsync(IPage page, string address) => (await page.GotoAsync(address + "/"))?.Headers.GetValueOrDefault("x-user");
    }

    static async Task SignInAsync(IPage page, string email)
    {
        await page.GetByLabel("E-mail").FillAsync(email);
        await page.GetByLabel("Password").FillAsync(TestUsers.Password);
        await page.Keyboard.PressAsync("Enter");
    }

    static WebApplication Listen(Action<WebApplicationBuilder>? configure = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0").UseKestrel();
        builder.Logging.ClearProviders();
        configure?.Invoke(builder);
        return builder.Build();
    }

    static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Debian's Apache with a folder of its own, for as long as a test takes.</summary>
    sealed class Apache(Process process, string folder) : IDisposable
    {
        public static async Task<Apache> StartAsync(string address, string more)
        {
            var folder = Directory.CreateTempSubdirectory("apache-").FullName;
            // Apache serves as somebody who may do less than whoever runs the tests.
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(folder, (UnixFileMode)Convert.ToInt32("755", 8));
            Directory.CreateDirectory(Path.Combine(folder, "www"));
            await File.WriteAllTextAsync(Path.Combine(folder, "www", "index.html"), "Served by Apache", Ct);
            var file = Path.Combine(folder, "apache.conf");
            await File.WriteAllTextAsync(file, $"""
                ServerRoot {folder}
                DefaultRuntimeDir {folder}
                PidFile {folder}/pid
                Mutex file:{folder}
                ErrorLog {folder}/error.log
                Listen {new Uri(address).Authority}
                ServerName {new Uri(address).Authority}
                DocumentRoot {folder}/www
                DirectoryIndex index.html
                User www-data
                Group www-data
                {more}
                """.Insert(0, string.Concat(new[] { "mpm_event", "authn_core", "authz_core", "authz_user", "dir", "headers" }.Select(m => $"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n"))), Ct);
            var process = Process.Start(new ProcessStartInfo("/usr/sbin/apache2", ["-f", file, "-DFOREGROUND"]) { RedirectStandardError = true })
                ?? throw new InvalidOperationException("Apache did not start.");
            var apache = new Apache(process, folder);
            using var http = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false });
            await Eventually.TrueAsync(async () =>
            {
                Assert.False(process.HasExited, process.HasExited ? await process.StandardError.ReadToEndAsync(Ct) : "");
                try
                {
                    using var response = await http.GetAsync(address, Ct);
                    return true;
                }
                catch (HttpRequestException)
                {
                    return false;
                }
            });
            return apache;
        }

        public void Dispose()
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
            process.Dispose();
            Directory.Delete(folder, recursive: true);
        }
    }
}
