using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json;

namespace Tandem.Tests.Users;

/// <summary>The shipped program's commands, as an operator runs them.</summary>
public sealed class CommandTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Accounts_are_made_and_changed_beside_a_running_server_and_it_sees_that_within_a_second()
    {
        await using var app = await TestApp.StartAsync();
        Assert.Equal((0, "Administrator 1 made: root@example.com\n", ""), await RunAsync(app.Data, "12345678\n", "user", "create", "Root@example.com", "--admin", "--password-stdin"));
        Assert.Equal((0, "User 2 made: ada@example.com\n", ""), await RunAsync(app.Data, "12345678\n", "user", "create", "ada@example.com", "--name", "Ada \e[31mred", "--password-stdin"));
        using var ada = app.With((await app.SignInAsync("ada@example.com", "12345678")).GetProperty("access_token").GetString()!);
        await (await ada.GetAsync("/users/2", Ct)).JsonAsync();

        var (code, output, error) = await RunAsync(app.Data, "", "user", "list");
        Assert.Equal((0, ""), (code, error));
        Assert.Contains("root@example.com", output);
        Assert.Contains("Ada ?[31mred", output);
        var listed = JsonDocument.Parse((await RunAsync(app.Data, "", "user", "list", "--json", "--skip", "1")).Output).RootElement;
        Assert.Equal("ada@example.com", Assert.Single(listed.EnumerateArray()).GetProperty("email").GetString());
        Assert.False(listed[0].TryGetProperty("password_hash", out _));

        Assert.Equal((0, "ada@example.com is not active\n", ""), await RunAsync(app.Data, "", "user", "deactivate", "ADA@example.com"));
        var ended = Stopwatch.StartNew();
        await Eventually.TrueAsync(async () => (int)(await ada.GetAsync("/users/2", Ct)).StatusCode == 401, seconds: 10);
        Assert.InRange(ended.ElapsedMilliseconds, 0, 1000);
        await (await app.PostTokenAsync("ada@example.com", "12345678")).ShouldBeProblemAsync(400, "users/invalid-grant");

        Assert.Equal(0, (await RunAsync(app.Data, "", "user", "activate", "ada@example.com")).Code);
        using var again = app.With((await app.SignInAsync("ada@example.com", "12345678")).GetProperty("access_token").GetString()!);
        Assert.Equal(0, (await RunAsync(app.Data, "a new password\n", "user", "passwd", "ada@example.com", "--password-stdin")).Code);
        await Eventually.TrueAsync(async () => (int)(await again.GetAsync("/users/2", Ct)).StatusCode == 401, seconds: 2);
        await (await app.PostTokenAsync("ada@example.com", "12345678")).ShouldBeProblemAsync(400, "users/invalid-grant");
        await app.SignInAsync("ada@example.com", "a new password");
    }

    [Fact]
    public async Task A_token_made_by_the_command_works_on_a_running_server_even_when_it_made_the_key()
    {
        await using var app = await TestApp.StartAsync();
        await RunAsync(app.Data, "12345678\n", "user", "create", "root@example.com", "--admin", "--password-stdin");

        var (code, token, error) = await RunAsync(app.Data, "", "token", "root@example.com");

        Assert.Equal((0, ""), (code, error));
        using var admin = app.With(token.Trim());
        await Eventually.TrueAsync(async () => (int)(await admin.GetAsync("/users", Ct)).StatusCode == 200, seconds: 2);

        var json = JsonDocument.Parse((await RunAsync(app.Data, "", "token", "root@example.com", "--json", "--lifetime", "1.00:00:00", "--scope", "users:read")).Output).RootElement;
        Assert.Equal(86_400, json.GetProperty("expires_in").GetInt32());
        using var reader = app.With(json.GetProperty("access_token").GetString()!);
        await (await reader.GetAsync("/users", Ct)).JsonAsync();
        // The scope narrows: it is an administrator's token, but not for this.
        var other = await app.RegisterAsync("ada@example.com");
        await (await reader.PatchAsJsonAsync($"/users/{other}", new { name = "X" }, Ct)).ShouldBeProblemAsync(403, "users/not-yours");

        Assert.Equal(0, (await RunAsync(app.Data, "", "user", "promote", "ada@example.com")).Code);
        Assert.Equal(0, (await RunAsync(app.Data, "", "user", "demote", "root@example.com")).Code);
        await Eventually.TrueAsync(async () => (int)(await admin.GetAsync("/users", Ct)).StatusCode == 401, seconds: 2);
        await Eventually.TrueAsync(async () => (int)(await reader.GetAsync("/users", Ct)).StatusCode == 401, seconds: 2);
    }

    [Fact]
    public async Task What_fails_is_said_on_standard_error_with_exit_code_1_and_wrong_use_with_2()
    {
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        await RunAsync(data, "12345678\n", "user", "create", "root@example.com", "--admin", "--password-stdin");
        foreach (var (code, message, input, args) in new (int, string, string, string[])[]
        {
            (1, "Email already registered", "12345678\n", ["user", "create", "ROOT@example.com", "--password-stdin"]),
            (1, "There is no account nobody@example.com", "", ["user", "deactivate", "nobody@example.com"]),
            (1, "There is no account nobody@example.com", "", ["token", "nobody@example.com"]),
            (1, "last active administrator", "", ["user", "deactivate", "root@example.com"]),
            (1, "last active administrator", "", ["user", "demote", "root@example.com"]),
            (2, "email must be an e-mail address", "12345678\n", ["user", "create", "root", "--password-stdin"]),
            (2, "password must have at least 8 characters", "1234567\n", ["user", "create", "ada@example.com", "--password-stdin"]),
            (2, "--password-stdin", "12345678\n", ["user", "create", "ada@example.com"]),
            (2, "--lifetime must be", "", ["token", "root@example.com", "--lifetime", "15"]),
            (2, "--limit must be", "", ["user", "list", "--limit", "0"]),
            (2, "Required", "", ["user", "create"]),
        })
        {
            var (got, output, error) = await RunAsync(data, input, args);
            Assert.True(got == code, $"{string.Join(' ', args)}: {got} {output}{error}");
            Assert.Contains(message, error);
            Assert.DoesNotContain("   at ", error);
        }

        if (Directory.Exists(data))
            Directory.Delete(data, recursive: true);
    }

    internal static async Task<(int Code, string Output, string Error)> RunAsync(string data, string input, params string[] args)
    {
        using var process = Programs.Start(["--data", data, .. args]);
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        var (output, error) = (process.StandardOutput.ReadToEndAsync(Ct), process.StandardError.ReadToEndAsync(Ct));
        await process.WaitForExitAsync(Ct);
        return (process.ExitCode, await output, await error);
    }
}
