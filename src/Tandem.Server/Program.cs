using Tandem;

var app = TandemApp.Create(args);
return await app.RunAsync();
