#:project ../src/Tandem/Tandem.csproj
#:property GenerateDocumentationFile=false
#:property PublishAot=false

// A whole backend: accounts, tokens, limits, events, jobs, documentation, and notes of its own.
// Start it with: dotnet run samples/notes.cs --urls http://127.0.0.1:8081

using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Tandem;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Events;

var app = TandemApp.Create(args);
app.Resource<Note>("/notes");
app.MapGet("/hello", () => "Hello from here").AllowAnonymous();
app.MapGet("/shout", async ([Required, StringLength(100)] string text, Db db) =>
    new { text = text.ToUpperInvariant(), events = await db.FindAsync<long>($"select count(*) from events_log") });
return await app.RunAsync();

record Note([property: Required, StringLength(200)] string Title, string? Text = null, bool Done = false);
